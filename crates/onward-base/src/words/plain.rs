//! Our own signs in ASCII, and users' texts among them.

use std::borrow::Cow;

/// Our own signs, and what stands for them in ASCII; other letters are those of users, and stay.
const SIGNS: [(char, &str); 54] = [
    ('×', "x"),
    ('·', "-"),
    ('±', "+/-"),
    ('–', "-"),
    ('−', "-"),
    ('…', "..."),
    ('\u{202f}', " "),
    ('\u{a0}', " "),
    ('≥', ">="),
    ('≤', "<="),
    ('≈', "~"),
    ('≠', "!="),
    ('∞', "inf"),
    ('→', "->"),
    ('←', "<-"),
    ('²', "^2"),
    ('³', "^3"),
    ('⁴', "^4"),
    ('⁵', "^5"),
    ('⁻', "^-"),
    ('√', "sqrt "),
    ('½', "1/2"),
    ('¼', "1/4"),
    ('°', " deg"),
    ('’', "'"),
    ('‖', "||"),
    ('∂', "d"),
    ('∇', "grad "),
    ('Σ', "sum "),
    ('Δ', "delta "),
    ('∝', "~"),
    ('ᵀ', "^T"),
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "epsilon"),
    ('η', "eta"),
    ('θ', "theta"),
    ('κ', "kappa"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('ν', "nu"),
    ('ξ', "xi"),
    ('π', "pi"),
    ('ρ', "rho"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('ψ', "psi"),
    ('₀', "0"),
    ('₁', "1"),
    ('₂', "2"),
    ('ᵢ', "_i"),
    ('ₖ', "_k"),
];

/// A text with our own signs in ASCII. What stands in quotes or backticks, and words of Greek, are a user's, to be found and copied as they are.
pub fn plain(text: &str) -> String {
    let greek = |c: &char| matches!(c, 'Ͱ'..='Ͽ' | 'ἀ'..='῾');
    let (mut told, mut quoted, mut before) = (String::with_capacity(text.len()), None, ' ');
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        quoted = match (quoted, letter) {
            (_, '\n') => None,
            (Some(quote), letter) if quote == letter => None,
            (None, '"' | '`') => Some(letter),
            _ => quoted,
        };
        let word = greek(&letter) && (greek(&before) || letters.peek().is_some_and(greek));
        match SIGNS.iter().find(|(sign, _)| *sign == letter).filter(|_| quoted.is_none() && !word) {
            Some((_, words)) => told.push_str(words),
            None => told.push(letter),
        }
        before = letter;
    }
    told
}

/// A user's text (a name, a path, a word of a table) as it stands among our words: in quotes where some of its signs would be taken for ours.
pub fn theirs(text: &str) -> Cow<'_, str> {
    if plain(text) == text { text.into() } else { format!("\"{text}\"").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_signs_have_words_and_letters_of_users_stay() {
        assert_eq!(plain("8 × 8 · 0.5 ± 0.1 · σ² ≥ 1…"), "8 x 8 - 0.5 +/- 0.1 - sigma^2 >= 1...");
        assert_eq!(plain("Gärten, ÷, plain"), "Gärten, ÷, plain");
        assert_eq!(plain("θερμή, λ/μ, μσ, 2σ"), "θερμή, lambda/mu, μσ, 2sigma");
        let found = "σ: expected one column named \"x–μ\", found none; did you mean \"x-μ²\"…";
        let told = "sigma: expected one column named \"x–μ\", found none; did you mean \"x-μ²\"...";
        assert_eq!(plain(found), told);
        assert_eq!(plain("go on with `onward resume x–1` …"), "go on with `onward resume x–1` ...");
        for (text, shown) in
            [("Temp °C", "\"Temp °C\""), ("m²", "\"m²\""), ("Größe", "Größe"), ("a b", "a b")]
        {
            assert_eq!((theirs(text).as_ref(), plain(&theirs(text))), (shown, shown.to_owned()));
        }
        assert!(SIGNS.iter().all(|(sign, words)| !sign.is_ascii() && words.is_ascii()));
    }
}
