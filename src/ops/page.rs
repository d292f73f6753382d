use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::Error;

/// A page of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Continues after an earlier page.
    pub token: Option<String>,
    /// How many at most; 0 is all.
    pub limit: u64,
}

/// One page, with what there is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// What continues after them; none at the end.
    pub next: Option<String>,
}

impl Page {
    /// The position after which it begins.
    pub(super) fn after(&self) -> Result<Option<String>, Error> {
        self.token.as_deref().map(decoded).transpose()
    }

    /// How many items it may have, if there is a limit.
    pub(super) fn limit(&self) -> Option<usize> {
        usize::try_from(self.limit).ok().filter(|limit| *limit > 0)
    }

    /// The page of `items`, which are in the order of their positions and begin where it does. A token is the position of the last
    /// item of its page: it stays good while items come and go.
    pub(super) fn cut<T>(&self, items: impl IntoIterator<Item = T>, position: impl Fn(&T) -> String) -> Paged<T> {
        let mut items = items.into_iter();
        let Some(limit) = self.limit() else { return Paged { items: items.collect(), next: None } };
        let page: Vec<T> = items.by_ref().take(limit).collect();
        let next = page.last().filter(|_| items.next().is_some()).map(|last| URL_SAFE_NO_PAD.encode(position(last)));
        Paged { items: page, next }
    }
}

fn decoded(token: &str) -> Result<String, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::Token)?;
    String::from_utf8(bytes).map_err(|_| Error::Token)
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn pages_meet_and_the_last_one_has_no_token() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let (mut seen, mut token) = (Vec::new(), None);
        for size in [2, 1] {
            let page = Page { token, limit: 2 };
            let after = page.after().unwrap();
            let rest = names.iter().filter(|name| after.as_ref().is_none_or(|after| *name > after));
            let paged = page.cut(rest, |name| (*name).clone());
            assert_eq!(paged.items.len(), size);
            seen.extend(paged.items);
            token = paged.next;
        }
        assert_eq!((seen, token), (names.iter().collect(), None));
    }

    #[test]
    fn what_is_no_text_in_base64url_is_no_token() {
        for token in ["!", "a", "_w", "YQ=="] {
            assert!(Page { token: Some(token.to_owned()), limit: 0 }.after().is_err(), "{token}");
        }
    }
}
