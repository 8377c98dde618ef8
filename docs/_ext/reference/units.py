"""The units of the metrics' numbers, as runs give them (`Result.unit`)."""

UNITS = {
    "1,000 squared MMD": "cmmd",
    "a token": "perplexity perplexity_elbo",
    "accuracy": "beta_vae_score cluster_accuracy factor_vae_score knn_accuracy linear_probe",
    "bits per dimension": "bits_per_dim",
    "codes": "codebook_perplexity",
    "correlation": "mcc mcc_rank",
    "dB": "psnr",
    "dimensions": "active_node_units",
    "edges": "graph_distance",
    "edges a node": "degree",
    "nats": "dimension_wise_kl marginal_kl mutual_information mutual_information_upper total_correlation",
    "nats a cell": "cell_nll column_nll forecast_nll gap_nll",
    "nats a node": "elbo_per_node",
    "nats/example": (
        "ais ais_gap amortisation_gap approximation_gap approximation_gap_full code_gain conditional_log_p "
        "context_gap cubo elbo exact_log_px few_shot_log_px few_shot_log_px_1 few_shot_log_px_10 iw_bound kl "
        "label_log_prob log_px log_px_bracket no_latents renyi_upper set_log_px shared_nats sumo view_log_p"
    ),
    "nats²/example": "rate_distortion",
    "of 1": (
        "ap auc c2st_accuracy c2st_auroc class_accuracy cluster_ari cluster_nmi clustering "
        "clustering_distance column_accuracy column_pairs column_shapes cross_coherence dci_completeness "
        "dci_completeness_boosted dcr dcr_holdout dcr_share "
        "dci_disentanglement dci_disentanglement_boosted dci_informativeness dci_informativeness_boosted "
        "degree_distance exact_reconstruction explicitness forecast_coverage gap_coverage impute_accuracy "
        "impute_accuracy_mode irs irs_max joint_coherence mig modularity ms_ssim sap sap_categorical "
        "sbc_p_value sbc_spread ssim ssim_reflect synthetic_auroc synthetic_c2st token_accuracy udr utility "
        "utility_real"
    ),
    "of hidden units": "dead_units",
    "of the data's": "sample_sharpness sharpness",
    "of the number of classes": "inception_score",
    "share": (
        "accuracy codebook_used coverage density few_shot_accuracy few_shot_accuracy_1 few_shot_accuracy_10 "
        "frame_accuracy holes internal_diversity note_f1 novelty precision property_r2 recall same_molecule "
        "unique_10k unique_1k valid_rows validity"
    ),
    "signal to noise": "encoder_snr_1 encoder_snr_5 encoder_snr_50",
    "squared feature units": "fd fd_extrapolated fid fid_extrapolated path_length_linear path_length_spherical",
    "squared grey a pixel": "intervention_error",
    "squared MMD": "kid",
    "squared standard deviations": "cell_mse",
    "squared units a dimension": "mse no_latents_mse",
    "standard deviations": (
        "column_rmse forecast_rmse forecast_rmse_last gap_rmse gap_rmse_line impute_rmse impute_rmse_mean"
    ),
    "the data's units, Euclidean": (
        "code_path_linear code_path_neighbours code_path_spherical off_data_linear off_data_neighbours "
        "off_data_pixels off_data_spherical"
    ),
    "tokens a sequence": "edit_distance",
    "units": "active_units",
    "units of the property": "property_error",
}
"""Numbers by unit."""


def unit(number: str) -> str:
    """Return a number's unit; "–" where it is not listed.

    >>> unit("elbo"), unit("psnr")
    ('nats/example', 'dB')
    """
    return next((unit for unit, numbers in UNITS.items() if number in numbers.split()), "–")
