//! The one place for defaults that depend on the method. The sweeps behind them are in `bench/defaults.md`.

/// For every method but searches, its defaults by key.
pub const METHODS: [(&str, &[(&str, &str)]); 4] = [
    (
        "relative-activation",
        &[
            ("sigma", "0.1"),
            ("rate", "0.05"),
            ("momentum", "0.9"),
            ("scaling", "none"),
            ("schedule", "cosine"),
            ("final_rate", "0.0"),
            ("directions", "16"),
        ],
    ),
    (
        "population",
        &[
            ("sigma", "0.05"),
            ("rate", "0.02"),
            ("momentum", "0.9"),
            ("scaling", "none"),
            ("schedule", "cosine"),
            ("final_rate", "0.0"),
            ("members", "512"),
        ],
    ),
    (
        "two-point",
        &[
            ("sigma", "0.01"),
            ("rate", "0.003"),
            ("momentum", "0.9"),
            ("scaling", "none"),
            ("schedule", "cosine"),
            ("final_rate", "0.0"),
            ("directions", "16"),
        ],
    ),
    (
        "rso",
        &[
            ("sigma", "1.0"),
            ("rate", "1.0"),
            ("momentum", "0.0"),
            ("scaling", "none"),
            ("schedule", "linear"),
            ("final_rate", "0.1"),
        ],
    ),
];

/// The default of `method.{key}` under `method`.
pub fn of_method(method: &str, key: &str) -> Option<&'static str> {
    let Some((_, defaults)) = METHODS.iter().find(|(name, _)| *name == method) else {
        return super::search::sigma(method).filter(|_| key == "sigma");
    };
    defaults.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}
