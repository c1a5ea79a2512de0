//! Which questions of a server reach the application, and which are answered here.

use super::Offer;
use crate::{
    error::RpcError,
    wire::{RawJson, bodies::QuestionParams},
};

/// What to do with a question.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Decision {
    /// It is for the application.
    Ask,
    /// The machine knows the answer.
    Answer(RawJson),
    /// The capability it needs was not declared.
    Refuse(RpcError),
}

const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

/// Decides by the capabilities that were declared to the server.
///
/// MCP 2025-11-25: client/roots and client/sampling "Capabilities" (method not found where
/// undeclared), client/elicitation "Elicitation Modes" (an undeclared mode is invalid params).
pub(crate) fn decide(method: &str, params: Option<&RawJson>, offer: &Offer) -> Decision {
    let details = || -> Result<QuestionParams<'_>, RpcError> {
        params.map_or_else(
            || Ok(QuestionParams::default()),
            |params| {
                serde_json::from_str(params.as_str())
                    .map_err(|error| refusal(INVALID_PARAMS, &error.to_string()))
            },
        )
    };
    match method {
        "roots/list" => offer.roots.clone().map_or_else(
            || Decision::Refuse(refusal(METHOD_NOT_FOUND, "roots are not supported")),
            Decision::Answer,
        ),
        "sampling/createMessage" => match (offer.declared.sampling, details()) {
            (None, _) => Decision::Refuse(refusal(METHOD_NOT_FOUND, "sampling is not supported")),
            (Some(_), Err(error)) => Decision::Refuse(error),
            (Some(sampling), Ok(asked)) => {
                if !sampling.tools && (asked.tools.is_some() || asked.tool_choice.is_some()) {
                    Decision::Refuse(refusal(INVALID_PARAMS, "sampling.tools was not declared"))
                } else {
                    Decision::Ask
                }
            }
        },
        "elicitation/create" => match (offer.declared.elicitation, details()) {
            (None, _) => {
                Decision::Refuse(refusal(METHOD_NOT_FOUND, "elicitation is not supported"))
            }
            (Some(_), Err(error)) => Decision::Refuse(error),
            (Some(elicitation), Ok(asked)) => match asked.mode.as_deref().unwrap_or("form") {
                "form" if elicitation.form => Decision::Ask,
                "url" if elicitation.url => Decision::Ask,
                mode => {
                    let message = format!("elicitation mode {mode:?} was not declared");
                    Decision::Refuse(refusal(INVALID_PARAMS, &message))
                }
            },
        },
        other => Decision::Refuse(refusal(METHOD_NOT_FOUND, &format!("no method {other:?}"))),
    }
}

fn refusal(code: i64, message: &str) -> RpcError {
    RpcError {
        code,
        message: message.to_owned(),
        data: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClientProfile, ElicitationCapability, Root, SamplingCapability};

    fn code(decision: &Decision) -> Option<i64> {
        match decision {
            Decision::Ask | Decision::Answer(_) => None,
            Decision::Refuse(error) => Some(error.code),
        }
    }

    fn all() -> Offer {
        let mut profile = ClientProfile::default();
        profile.capabilities.roots = Some(vec![Root {
            uri: "file:///a".into(),
            name: None,
        }]);
        profile.capabilities.sampling = Some(SamplingCapability::default());
        profile.capabilities.elicitation = Some(ElicitationCapability::default());
        Offer::new(&profile)
    }

    #[test]
    fn undeclared_capabilities_are_method_not_found() {
        let none = Offer::new(&ClientProfile::default());
        for method in [
            "roots/list",
            "sampling/createMessage",
            "elicitation/create",
            "x/y",
        ] {
            assert_eq!(
                code(&decide(method, None, &none)),
                Some(METHOD_NOT_FOUND),
                "{method}"
            );
        }
    }

    #[test]
    fn roots_are_answered_from_configuration() {
        let Decision::Answer(answer) = decide("roots/list", None, &all()) else {
            panic!()
        };
        assert_eq!(answer.as_str(), r#"{"roots":[{"uri":"file:///a"}]}"#);
    }

    #[test]
    fn an_elicitation_without_a_mode_is_a_form() {
        let params = RawJson::parse(r#"{"message":"m"}"#).unwrap();
        assert_eq!(
            decide("elicitation/create", Some(&params), &all()),
            Decision::Ask
        );
    }

    #[test]
    fn an_undeclared_mode_or_tool_use_is_invalid_params() {
        let url = RawJson::parse(r#"{"mode":"url","url":"https://x.test"}"#).unwrap();
        let refused = decide("elicitation/create", Some(&url), &all());
        assert_eq!(code(&refused), Some(INVALID_PARAMS));
        let tools = RawJson::parse(r#"{"messages":[],"tools":[]}"#).unwrap();
        let refused = decide("sampling/createMessage", Some(&tools), &all());
        assert_eq!(code(&refused), Some(INVALID_PARAMS));
    }
}
