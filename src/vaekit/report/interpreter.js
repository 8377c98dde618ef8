// A decoder's list of calls (tasks/calls.py) as a function of numbers: every value is a dense Float64Array, made once.
"use strict";

function float16(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);
const stridesOf = (shape) => shape.map((_, i) => sizeOf(shape.slice(i + 1)));
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// Abramowitz and Stegun 7.1.26 is too coarse here: the series and the continued fraction of the error function.
function erf(x) {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let sum = x, term = x;
    for (let n = 1; Math.abs(term) > 1e-17 && n < 80; n++) { term *= -x * x / n; sum += term / (2 * n + 1); }
    return 2 / Math.sqrt(Math.PI) * sum;
  }
  let f = 0;
  for (let n = 60; n > 0; n--) f = n / 2 / (a + f);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + f));
}

// Halves to even, as PyTorch does.
function roundEven(x) {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2 ? 1 : 0) : Math.round(x);
}

const UNARY = {
  abs: Math.abs, ceil: Math.ceil, erf, exp: Math.exp, expm1: Math.expm1, floor: Math.floor, log: Math.log, log1p: Math.log1p,
  neg: (x) => -x, reciprocal: (x) => 1 / x, relu: (x) => (x > 0 ? x : 0), round: roundEven, rsqrt: (x) => 1 / Math.sqrt(x),
  sigmoid, silu: (x) => x * sigmoid(x), sin: Math.sin, cos: Math.cos,
  softplus: (x) => (x > 20 ? x : Math.log1p(Math.exp(x))), sqrt: Math.sqrt, tanh: Math.tanh, trunc: Math.trunc,
};
const BINARY = {
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b, pow: Math.pow, max: Math.max,
  min: Math.min, ge: (a, b) => +(a >= b), gt: (a, b) => +(a > b), le: (a, b) => +(a <= b), lt: (a, b) => +(a < b),
  eq: (a, b) => +(a === b), ne: (a, b) => +(a !== b),
};

// For each entry of an array of `shape`, in order: its place in memory with these strides.
function places(shape, strides, offset = 0) {
  const n = sizeOf(shape), out = new Int32Array(n), at = shape.map(() => 0);
  for (let i = 0, place = offset; i < n; i++) {
    out[i] = place;
    for (let d = shape.length - 1; d >= 0; d--) {
      place += strides[d];
      if (++at[d] < shape[d]) break;
      place -= strides[d] * shape[d];
      at[d] = 0;
    }
  }
  return out;
}

// The places of a smaller array's entries under broadcasting to `shape`; null where they are one after another.
function spread(own, shape) {
  if (own.length === shape.length && own.every((n, i) => n === shape[i])) return null;
  const padded = [...shape.slice(own.length).map(() => 1), ...own], strides = stridesOf(padded);
  return places(shape, padded.map((n, i) => (n === 1 ? 0 : strides[i])));
}

// Dense layers walk along rows of the weights, (in, out), as they are stored or transposed.
function dense([x, w, b], out, [, inner], width) {
  return () => {
    for (let row = 0; row * width < out.length; row++) {
      const at = row * width;
      if (!b) out.fill(0, at, at + width);
      else for (let j = 0; j < width; j++) out[at + j] = b[b.length === 1 ? 0 : j % b.length];
      for (let i = 0; i < inner; i++) {
        const v = x[row * inner + i];
        if (v === 0) continue;
        for (let j = 0, k = i * width; j < width; j++, k++) out[at + j] += v * w[k];
      }
    }
  };
}

// A convolution joins places c of the small side with c·s − p + k·d of the large one: the input's places are the large
// ones, or, transposed, the small ones. The loops run over the small places whose partner is inside.
function inside(small, large, stride, padding, shift) {
  const off = shift - padding;
  return [Math.max(0, Math.ceil(-off / stride)), Math.min(small, Math.floor((large - 1 - off) / stride) + 1), off];
}

function convolution([x, w, b], out, call, xs, ws, os) {
  const two = (shape) => (shape.length === 3 ? [shape[0], shape[1], 1, shape[2]] : shape);
  const [, cin, h, wd] = two(xs), [, cout, oh, ow] = two(os), [kh, kw] = two(ws).slice(2);
  const { stride: [sy, sx], padding: [py, px], dilation: [dy, dx], groups, transposed } = call;
  const inEach = cin / groups, outEach = cout / groups, [sh, sw, lh, lw] = transposed ? [h, wd, oh, ow] : [oh, ow, h, wd];
  const rows = Array.from({ length: kh }, (_, k) => inside(sh, lh, sy, py, k * dy)), columns = Array.from({ length: kw }, (_, k) => inside(sw, lw, sx, px, k * dx));
  return () => {
    for (let o = 0; o < cout; o++) out.fill(b ? b[o] : 0, o * oh * ow, (o + 1) * oh * ow);
    for (let g = 0; g < groups; g++) for (let i = 0; i < inEach; i++) for (let o = 0; o < outEach; o++) {
      const from = (g * inEach + i) * h * wd, to = (g * outEach + o) * oh * ow;
      const taps = (transposed ? (g * inEach + i) * outEach + o : (g * outEach + o) * inEach + i) * kh * kw;
      for (let ky = 0; ky < kh; ky++) for (let kx = 0; kx < kw; kx++) {
        const v = w[taps + ky * kw + kx], [top, bottom, down] = rows[ky], [left, right, across] = columns[kx];
        for (let r = top; r < bottom; r++) {
          const large = (r * sy + down) * lw + across, small = r * sw;
          if (transposed) for (let c = left; c < right; c++) out[to + large + c * sx] += v * x[from + small + c];
          else for (let c = left; c < right; c++) out[to + small + c] += v * x[from + large + c * sx];
        }
      }
    }
  };
}

function fold(x, out, { kernel: [kh, kw], dilation: [dy, dx], padding: [py, px], stride: [sy, sx] }, shape) {
  const [oh, ow] = shape.slice(-2), channels = sizeOf(shape) / oh / ow;
  const across = Math.floor((ow + 2 * px - dx * (kw - 1) - 1) / sx) + 1, down = Math.floor((oh + 2 * py - dy * (kh - 1) - 1) / sy) + 1;
  return () => {
    out.fill(0);
    let i = 0;
    for (let c = 0; c < channels; c++) for (let ky = 0; ky < kh; ky++) for (let kx = 0; kx < kw; kx++)
      for (let r = 0; r < down; r++) for (let k = 0; k < across; k++, i++) {
        const y = r * sy - py + ky * dy, z = k * sx - px + kx * dx;
        if (y >= 0 && y < oh && z >= 0 && z < ow) out[(c * oh + y) * ow + z] += x[i];
      }
  };
}

function each(out, f, x) { return () => { for (let i = 0; i < out.length; i++) out[i] = f(x[i]); }; }

function step(call, arrays, shapes) {
  const ins = call.in.map((n) => arrays[n]), x = ins[0], out = arrays[call.out], shape = shapes[call.out], first = shapes[call.in[0]];
  if (UNARY[call.op]) return each(out, UNARY[call.op], x);
  if (BINARY[call.op]) {
    const f = BINARY[call.op], b = ins[1], ia = spread(first, shape), ib = spread(shapes[call.in[1]], shape);
    if (!ia && !ib) return () => { for (let i = 0; i < out.length; i++) out[i] = f(x[i], b[i]); };
    if (!ia) return () => { for (let i = 0; i < out.length; i++) out[i] = f(x[i], b[ib[i]]); };
    return () => { for (let i = 0; i < out.length; i++) out[i] = f(x[ia[i]], b[ib ? ib[i] : i]); };
  }
  switch (call.op) {
    case "mm": return dense(ins, out, first, shape[1]);
    case "conv": return convolution(ins, out, call, first, shapes[call.in[1]], shape);
    case "fold": return fold(x, out, call, shape);
    case "pick": {
      const from = places(call.sizes, call.strides, call.offset);
      return () => { for (let i = 0; i < out.length; i++) out[i] = x[from[i]]; };
    }
    case "pad": {
      const strides = stridesOf(shape), cut = call.before.map((n) => Math.max(0, -n)), own = stridesOf(first);
      const kept = first.map((n, d) => Math.min(n - cut[d], shape[d] - Math.max(0, call.before[d])));
      const from = places(kept, own, cut.reduce((sum, n, d) => sum + n * own[d], 0));
      const to = places(kept, strides, call.before.reduce((sum, n, d) => sum + Math.max(0, n) * strides[d], 0));
      return () => { out.fill(call.value); for (let i = 0; i < to.length; i++) out[to[i]] = x[from[i]]; };
    }
    case "cat": {
      const strides = stridesOf(shape);
      let before = 0;
      const parts = call.in.map((n) => {
        const to = places(shapes[n], strides, before * strides[call.dim]);
        before += shapes[n][call.dim];
        return [arrays[n], to];
      });
      return () => { for (const [part, to] of parts) for (let i = 0; i < to.length; i++) out[to[i]] = part[i]; };
    }
    case "clamp": return each(out, (v) => Math.min(call.high, Math.max(call.low, v)), x);
    case "leaky": return each(out, (v) => (v > 0 ? v : call.slope * v), x);
    case "elu": return each(out, (v) => (v > 0 ? v : call.alpha * Math.expm1(v)), x);
    case "gelu":
      return each(out, call.tanh ? (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
        : (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)), x);
    case "where": {
      const at = call.in.map((n) => spread(shapes[n], shape) ?? places(shape, stridesOf(shape)));
      return () => { for (let i = 0; i < out.length; i++) out[i] = x[at[0][i]] ? ins[1][at[1][i]] : ins[2][at[2][i]]; };
    }
    case "softmax": {
      const width = shape[call.dim], stride = stridesOf(shape)[call.dim];
      return () => {
        for (let i = 0; i < out.length; i++) {
          if (Math.floor(i / stride) % width) continue;
          let most = -Infinity, sum = 0;
          for (let k = 0; k < width; k++) most = Math.max(most, x[i + k * stride]);
          for (let k = 0; k < width; k++) sum += out[i + k * stride] = Math.exp(x[i + k * stride] - most);
          for (let k = 0; k < width; k++) out[i + k * stride] /= sum;
        }
      };
    }
    case "reduce": {
      const kept = first.map((n, d) => (call.dims.includes(d) ? 1 : n)), strides = stridesOf(kept);
      const to = places(first, kept.map((n, d) => (call.dims.includes(d) ? 0 : strides[d])));
      const most = call.kind === "max", share = call.kind === "mean" ? out.length / x.length : 1;
      return () => {
        out.fill(most ? -Infinity : 0);
        for (let i = 0; i < x.length; i++) out[to[i]] = most ? Math.max(out[to[i]], x[i]) : out[to[i]] + x[i] * share;
      };
    }
    case "norm": {
      const channels = first[1], size = x.length / call.groups, area = x.length / channels, [, w, b] = ins;
      return () => {
        for (let g = 0; g < call.groups; g++) {
          let mean = 0, square = 0;
          for (let i = g * size; i < (g + 1) * size; i++) mean += x[i] / size;
          for (let i = g * size; i < (g + 1) * size; i++) square += (x[i] - mean) ** 2 / size;
          const scale = 1 / Math.sqrt(square + call.eps);
          for (let i = g * size; i < (g + 1) * size; i++) {
            const c = Math.floor(i / area), v = (x[i] - mean) * scale;
            out[i] = w ? v * w[c] + b[c] : v;
          }
        }
      };
    }
    default: throw new Error(`unknown call ${call.op}`);
  }
}

// program, bytes of its constants → (...inputs) → the output, an array that the next call overwrites.
function interpreter(program, buffer) {
  const bytes = new DataView(buffer), shapes = program.values.map((value) => value.shape), arrays = [];
  program.values.forEach((value, n) => {
    const size = sizeOf(value.shape);
    if (value.at === undefined) arrays[n] = new Float64Array(size);
    else arrays[n] = Float32Array.from({ length: size }, (_, i) =>
      value.half ? float16(bytes.getUint16(value.at + 2 * i, true)) : bytes.getFloat32(value.at + 4 * i, true));
  });
  const steps = [];
  for (const call of program.calls) {
    if (call.op === "same") arrays[call.out] = arrays[call.in[0]];
    else steps.push(step(call, arrays, shapes));
  }
  return (...inputs) => {
    inputs.forEach((values, i) => arrays[program.inputs[i]].set(values));
    for (const run of steps) run();
    return arrays[program.output];
  };
}
