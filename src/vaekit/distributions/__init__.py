"""Distribution families torch lacks, and kl(q, p): closed form where there is one, else sampled."""
