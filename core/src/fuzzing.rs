//! The bodies of the fuzz targets: each takes any bytes, and panics where a promise is broken.

mod config;

use std::collections::BTreeMap;

use bytes::Bytes;

pub use self::config::config;
use crate::wire::{
    Id, LineTooLong, Lines, Message, RawJson, Violation, frame, params as compose, read,
    split_batch,
};

/// Two splits of the same bytes give the same lines, within the bounds on memory.
///
/// The first byte chooses the limit; the rest is both the stream and the sizes of the chunks.
pub fn lines(data: &[u8]) {
    let Some((limit, stream)) = data.split_first() else {
        return;
    };
    let limit = usize::from(*limit);
    let whole = framed(stream, limit, std::iter::repeat(stream.len().max(1)));
    let sizes = stream
        .iter()
        .rev()
        .map(|byte| usize::from(byte % 16).max(1));
    assert_eq!(
        framed(stream, limit, sizes.chain(std::iter::repeat(1))),
        whole
    );
    for line in whole.iter().flatten() {
        assert!(line.len() <= limit && !line.contains(&b'\n'));
        assert!(!line.is_ascii() || !line.trim_ascii().is_empty());
    }
    let dead = whole.iter().position(Result::is_err);
    assert!(dead.is_none_or(|place| place.saturating_add(1) == whole.len()));
}

/// What reads as a message can be written as a frame that reads as the same message.
pub fn message(data: &[u8]) {
    let line = Bytes::copy_from_slice(data);
    let message = match read(line.clone()) {
        Ok(message) => message,
        Err(malformed) => {
            assert!(!malformed.to_string().is_empty());
            if malformed.violation == Violation::Batch {
                match split_batch(&line, 64) {
                    Ok(entries) => entries.iter().for_each(|entry| drop(read(entry.clone()))),
                    Err(violation) => assert!(!violation.is_noise()),
                }
            }
            return;
        }
    };
    let (frame, expected) = match &message {
        Message::Request { id, method, params } => {
            let number = id.number().unwrap_or(u64::MAX);
            let params_text = params.as_ref().map(RawJson::as_str);
            let expected = Message::Request {
                id: Id::from_number(number),
                method: method.clone(),
                params: params.clone(),
            };
            (frame::request(number, method, params_text), expected)
        }
        Message::Notification { method, params } => {
            let params_text = params.as_ref().map(RawJson::as_str);
            (frame::notification(method, params_text), message.clone())
        }
        Message::Response { id, outcome } => (frame::answer(id, outcome.as_ref()), message.clone()),
    };
    one_line(&frame);
    assert_eq!(read(frame), Ok(expected));
}

/// Members added to params are there, once, and adding them again changes nothing.
///
/// The first line is the params; then come names and JSON values line by line, in turn for `_meta`
/// and for the params themselves.
pub fn params(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut parts = text.split('\n');
    let Ok(own) = RawJson::parse(parts.next().unwrap_or_default()) else {
        return;
    };
    let (mut meta, mut extra) = (Vec::new(), Vec::new());
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        let Ok(value) = RawJson::parse(value) else {
            return;
        };
        let added = if meta.len() > extra.len() {
            &mut extra
        } else {
            &mut meta
        };
        added.push((name, value));
    }
    let meta: Vec<_> = meta
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let extra: Vec<_> = extra
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();

    let call = compose::tool_call(text, Some(&own));
    let frame = frame::request(1, text, Some(&call));
    one_line(&frame);
    let Ok(Message::Request {
        method,
        params: Some(params),
        ..
    }) = read(frame)
    else {
        panic!("a frame that is no request: {call}");
    };
    assert_eq!((&*method, params.as_str()), (text, call.as_str()));

    let Ok(composed) = compose::with_members(Some(&own), &meta, &extra) else {
        return;
    };
    if meta.is_empty() && extra.is_empty() {
        assert_eq!(composed, own.as_str());
    }
    let Ok(composed) = RawJson::parse(composed) else {
        panic!("{own} became no JSON")
    };
    let again = compose::with_members(Some(&composed), &meta, &extra);
    assert_eq!(again.as_deref(), Ok(composed.as_str()));
    let Ok(members) = composed.read::<BTreeMap<String, RawJson>>() else {
        return;
    };
    for (name, _) in extra
        .iter()
        .filter(|(name, _)| *name != "_meta" || meta.is_empty())
    {
        assert_eq!(members.get(*name).map(RawJson::as_str), last(&extra, name));
    }
    let Some(Ok(members)) = members
        .get("_meta")
        .map(RawJson::read::<BTreeMap<String, RawJson>>)
    else {
        return;
    };
    for (name, _) in &meta {
        assert_eq!(members.get(*name).map(RawJson::as_str), last(&meta, name));
    }
}

fn last<'a>(members: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    members
        .iter()
        .rfind(|(later, _)| *later == name)
        .map(|(_, value)| *value)
}

fn framed(
    mut stream: &[u8],
    limit: usize,
    sizes: impl Iterator<Item = usize>,
) -> Vec<Result<Bytes, LineTooLong>> {
    let mut lines = Lines::new(limit);
    let mut out = Vec::new();
    for size in sizes {
        let Some((chunk, rest)) = stream.split_at_checked(size.min(stream.len())) else {
            break;
        };
        lines.push(Bytes::copy_from_slice(chunk));
        out.extend(std::iter::from_fn(|| lines.next_line()));
        assert!(lines.buffered() <= limit.saturating_add(1));
        stream = rest;
        if stream.is_empty() {
            break;
        }
    }
    out.extend(std::iter::from_fn(|| lines.finish()));
    assert_eq!(lines.buffered(), 0);
    out
}

fn one_line(frame: &[u8]) {
    let line_break = frame.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    assert_eq!(line_break, frame.len().checked_sub(1));
}
