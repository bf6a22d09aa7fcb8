//! "Did you mean": the known name closest to what was typed, and only when it is close.

/// The known name that `typed` was most likely meant to be; `None` when nothing is close enough: one slip in
/// every three characters, swapped neighbours counting as one.
pub(crate) fn closest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = typed.chars().count();
    // Distances take time in the product of both lengths; no name is this long, and no longer list is searched.
    if length > 128 {
        return None;
    }
    let folded = typed.to_ascii_lowercase();
    let close = known.into_iter().take(1_000).filter_map(|name| {
        let other = name.chars().count();
        let most = (length.max(other) / 3).max(1);
        let slips = (length.abs_diff(other) <= most)
            .then(|| strsim::osa_distance(&folded, &name.to_ascii_lowercase()))?;
        (slips <= most && slips < length).then_some((slips, name))
    });
    close.min_by_key(|(slips, _)| *slips).map(|(_, name)| name)
}

/// The hint that goes with [`closest`].
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_close_is_suggested() {
        let known = ["products", "payments", "ttl", "on"];
        for (typed, expected) in [
            ("product", Some("products")),
            ("prodcuts", Some("products")),
            ("PAYMENTS", Some("payments")),
            ("tll", Some("ttl")),
            ("ttll", Some("ttl")),
            ("no", Some("on")),
            ("x", None),
            ("", None),
            ("orders", None),
            ("prdcts", Some("products")),
            ("pay", None),
        ] {
            assert_eq!(closest(typed, known), expected, "{typed}");
        }
        assert_eq!(closest(&"p".repeat(1 << 20), known), None);
        assert_eq!(closest("a", []), None);
    }
}
