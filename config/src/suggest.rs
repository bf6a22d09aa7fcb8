//! "Did you mean": the known name closest to what was typed, and only when it is close.

/// The known name that `typed` was most likely meant to be; `None` when nothing is close enough: one slip in
/// every three characters, swapped neighbours counting as one.
pub(crate) fn closest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distances take time in the product of both lengths, and no name is this long.
    if typed.len() > 128 {
        return None;
    }
    let folded = typed.to_ascii_lowercase();
    let slips = |name: &str| strsim::osa_distance(&folded, &name.to_ascii_lowercase());
    let (distance, name) =
        known.into_iter().map(|name| (slips(name), name)).min_by_key(|(slips, _)| *slips)?;
    let most = (typed.chars().count().max(name.chars().count()) / 3).max(1);
    (distance <= most && distance < typed.chars().count()).then_some(name)
}

/// The hint that goes with [`closest`].
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}
