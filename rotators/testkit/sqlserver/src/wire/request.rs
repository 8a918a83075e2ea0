//! What a client asks for: batches, remote procedure calls, and the requests of its transaction manager.

use super::input::{Input, Malformed, Read, utf16};
use super::line::{self, Incoming};
use super::parameter;
use crate::exchange::{Message, Parameter, Value};

/// What separates calls in one message, before TDS 7.2 and since; and a call that is not to be executed.
const SEPARATORS: [u8; 3] = [0x80, 0xFF, 0xFE];
/// The bit of a parameter's status: the procedure may change it.
const OUTPUT: u8 = 0x01;

/// One thing to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Call {
    /// Statements, answered as such.
    Batch {
        text: String,
    },
    /// `sp_executesql`, or a prepared statement: statements, answered as a procedure is.
    Statement {
        text: String,
        parameters: Vec<Parameter>,
        outputs: Vec<Output>,
    },
    /// A procedure by name.
    Procedure {
        name: String,
        parameters: Vec<Parameter>,
        outputs: Vec<Output>,
    },
    /// `sp_prepexec`, and `sp_prepare`, which does not execute yet.
    Prepare {
        text: String,
        declared: Vec<String>,
        parameters: Vec<Parameter>,
        execute: bool,
    },
    /// `sp_execute`.
    Execute {
        handle: i32,
        parameters: Vec<Parameter>,
    },
    /// `sp_unprepare`.
    Unprepare {
        handle: i32,
    },
    /// What is refused before it is looked at.
    Refused(Message),
    Transaction(Transaction),
}

/// A parameter that the client wants back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// Its place among all parameters of the call.
    pub(crate) ordinal: u16,
    pub(crate) name: String,
}

/// What a transaction manager asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transaction {
    Begin,
    Commit,
    Rollback,
}

impl Call {
    /// What a message asks for, in order. A message of another kind than these is malformed.
    pub(crate) fn read(message: &Incoming) -> Read<Vec<Call>> {
        let mut input = Input::new(&message.data);
        headers(&mut input)?;
        match message.kind {
            line::SQL_BATCH => Ok(vec![Call::Batch { text: utf16(input.rest())? }]),
            line::RPC => calls(input),
            line::TRANSACTION => transaction(input).map(|call| vec![call]),
            _ => Err(Malformed("a message of a kind that a client does not send now")),
        }
    }
}

/// Passes over ALL_HEADERS.
fn headers(input: &mut Input<'_>) -> Read<()> {
    let length = input.length()?.checked_sub(4).ok_or(Malformed("headers are shorter than their length"))?;
    let mut headers = Input::new(input.take(length)?);
    while !headers.is_empty() {
        let length = headers.length()?.checked_sub(4).ok_or(Malformed("a header is shorter than its length"))?;
        headers.take(length)?;
    }
    Ok(())
}

fn calls(mut input: Input<'_>) -> Read<Vec<Call>> {
    let mut calls = Vec::new();
    while !input.is_empty() {
        calls.push(call(&mut input)?);
        // What follows a type that is not known cannot be read: no one knows where it begins.
        if matches!(calls.last(), Some(Call::Refused(_))) {
            break;
        }
        if input.peek().is_some_and(|byte| SEPARATORS.contains(&byte)) {
            input.u8()?;
        }
    }
    if calls.is_empty() { Err(Malformed("an RPC without a call")) } else { Ok(calls) }
}

fn call(input: &mut Input<'_>) -> Read<Call> {
    let name = match input.u16()? {
        u16::MAX => match input.u16()? {
            10 => "sp_executesql".to_owned(),
            11 => "sp_prepare".to_owned(),
            12 => "sp_execute".to_owned(),
            13 => "sp_prepexec".to_owned(),
            15 => "sp_unprepare".to_owned(),
            number => return Ok(Call::Refused(unknown_procedure(number))),
        },
        units => input.text(usize::from(units))?,
    };
    input.u16()?; // options: recompile, metadata
    let (mut parameters, mut outputs) = (Vec::new(), Vec::new());
    while input.peek().is_some_and(|byte| !SEPARATORS.contains(&byte)) {
        let parameter = input.short_text()?;
        let status = input.u8()?;
        match parameter::value(input)? {
            Ok(value) => {
                if status & OUTPUT != 0 {
                    let ordinal = u16::try_from(parameters.len()).map_err(|_| Malformed("too many parameters"))?;
                    outputs.push(Output { ordinal, name: parameter.clone() });
                }
                parameters.push(Parameter { name: parameter, value });
            }
            Err(unknown) => return Ok(Call::Refused(unknown_type(parameters.len() + 1, &parameter, unknown.0))),
        }
    }
    Ok(by_name(name, parameters, outputs).unwrap_or_else(Call::Refused))
}

/// The procedures that have statements for parameters are the line's; the others are the instance's.
fn by_name(name: String, parameters: Vec<Parameter>, outputs: Vec<Output>) -> Result<Call, Message> {
    let bare = name.rsplit('.').next().unwrap_or_default().trim_matches(['[', ']', '"']).to_ascii_lowercase();
    let mut rest = parameters.into_iter();
    match bare.as_str() {
        "sp_executesql" => {
            let text = text(rest.next(), "statement")?;
            let declared = declared(rest.next())?;
            Ok(Call::Statement { text, parameters: named(rest, &declared), outputs: outputs_named(outputs, &declared) })
        }
        "sp_prepare" | "sp_prepexec" => {
            rest.next(); // the handle, which is to come back
            let declared = declared(rest.next())?;
            let text = text(rest.next(), "stmt")?;
            let execute = bare == "sp_prepexec";
            let parameters = if execute { named(rest, &declared) } else { Vec::new() };
            Ok(Call::Prepare { text, declared, parameters, execute })
        }
        "sp_execute" => Ok(Call::Execute { handle: handle(rest.next())?, parameters: rest.collect() }),
        "sp_unprepare" => Ok(Call::Unprepare { handle: handle(rest.next())? }),
        _ => Ok(Call::Procedure { name, parameters: rest.collect(), outputs }),
    }
}

fn text(parameter: Option<Parameter>, name: &str) -> Result<String, Message> {
    match parameter.map(|parameter| parameter.value) {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(not_of_type(name, "ntext/nchar/nvarchar")),
    }
}

fn handle(parameter: Option<Parameter>) -> Result<i32, Message> {
    match parameter.map(|parameter| parameter.value) {
        Some(Value::Int(handle)) => Ok(handle),
        _ => Err(not_of_type("handle", "int")),
    }
}

/// The names that a list of declarations has.
fn declared(parameter: Option<Parameter>) -> Result<Vec<String>, Message> {
    match parameter.map(|parameter| parameter.value) {
        Some(Value::Text(declarations)) => Ok(declared_names(&declarations)),
        Some(Value::Null) | None => Ok(Vec::new()),
        Some(_) => Err(not_of_type("params", "ntext/nchar/nvarchar")),
    }
}

/// Parameters may come without names: they have the declared ones then, in order.
pub(crate) fn named(parameters: impl IntoIterator<Item = Parameter>, declared: &[String]) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = parameters.into_iter().collect();
    for (parameter, name) in parameters.iter_mut().zip(declared) {
        if parameter.name.is_empty() {
            parameter.name.clone_from(name);
        }
    }
    parameters
}

/// Of `sp_executesql`, whose first two parameters are not declared.
fn outputs_named(mut outputs: Vec<Output>, declared: &[String]) -> Vec<Output> {
    for output in outputs.iter_mut().filter(|output| output.name.is_empty()) {
        let place = usize::from(output.ordinal).checked_sub(2);
        output.name = place.and_then(|place| declared.get(place)).cloned().unwrap_or_default();
    }
    outputs
}

/// `@P1 nvarchar(4000),@P2 decimal(5, 2)`: the names. A comma within parentheses begins no declaration.
fn declared_names(declarations: &str) -> Vec<String> {
    let named = |part: &str| part.split_whitespace().next().filter(|word| word.starts_with('@')).map(str::to_owned);
    declarations.split(',').filter_map(named).collect()
}

fn transaction(mut input: Input<'_>) -> Read<Call> {
    match input.u16()? {
        5 => Ok(Call::Transaction(Transaction::Begin)),
        7 => Ok(Call::Transaction(Transaction::Commit)),
        8 => Ok(Call::Transaction(Transaction::Rollback)),
        _ => Ok(Call::Refused(Message {
            procedure: String::new(),
            number: 3921,
            state: 1,
            class: 16,
            text: "Cannot get a transaction token: this request of a transaction manager is not supported.".to_owned(),
        })),
    }
}

fn unknown_procedure(number: u16) -> Message {
    Message { state: 62, ..Message::error(2812, format!("Could not find stored procedure number {number}.")) }
}

fn unknown_type(ordinal: usize, name: &str, number: u8) -> Message {
    Message {
        number: 8009,
        state: 4,
        class: 16,
        procedure: String::new(),
        text: format!(
            "The incoming tabular data stream (TDS) remote procedure call (RPC) protocol stream is incorrect. Parameter \
             {ordinal} (\"{name}\"): Data type 0x{number:02X} is unknown."
        ),
    }
}

fn not_of_type(parameter: &str, kind: &str) -> Message {
    Message {
        number: 214,
        state: 2,
        class: 16,
        procedure: String::new(),
        text: format!("Procedure expects parameter '@{parameter}' of type '{kind}'."),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn units(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn nvarchar(name: &str, value: &str) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(name.encode_utf16().count()).unwrap()];
        bytes.extend(units(name));
        bytes.extend([0, 0xE7, 0x40, 0x1F, 0, 0, 0, 0, 0]);
        bytes.extend(u16::try_from(units(value).len()).unwrap().to_le_bytes());
        bytes.extend(units(value));
        bytes
    }

    fn message(kind: u8, parts: &[&[u8]]) -> Incoming {
        let mut data = vec![22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        data.extend(parts.concat());
        Incoming { kind, reset: false, data }
    }

    #[test]
    fn a_batch_is_what_follows_the_headers() {
        let read = Call::read(&message(line::SQL_BATCH, &[&units("SELECT N'é'")])).unwrap();
        assert_eq!(read, [Call::Batch { text: "SELECT N'é'".to_owned() }]);
    }

    #[test]
    fn parameters_without_names_take_the_declared_ones() {
        let parts = [
            &[0xFF, 0xFF, 10, 0, 0, 0][..],
            &nvarchar("", "SELECT @a, @b"),
            &nvarchar("", "@a nvarchar(9), @b decimal(5, 2)"),
            &nvarchar("", "x"),
            &nvarchar("@b", "y"),
        ];
        let parameter =
            |name: &str, value: &str| Parameter { name: name.to_owned(), value: Value::Text(value.to_owned()) };
        let expected = Call::Statement {
            text: "SELECT @a, @b".to_owned(),
            parameters: vec![parameter("@a", "x"), parameter("@b", "y")],
            outputs: Vec::new(),
        };
        assert_eq!(Call::read(&message(line::RPC, &parts)).unwrap(), [expected]);
    }

    #[test]
    fn one_message_may_hold_several_calls() {
        let name = units("sp_who");
        let call = [&[6, 0][..], &name, &[0, 0]].concat();
        let read = Call::read(&message(line::RPC, &[&call, &[0xFF], &call])).unwrap();
        let expected = || Call::Procedure { name: "sp_who".to_owned(), parameters: Vec::new(), outputs: Vec::new() };
        assert_eq!(read, [expected(), expected()]);
    }

    #[test]
    fn a_parameter_of_an_unknown_type_is_refused_by_number() {
        let parts = [&[0xFF, 0xFF, 10, 0, 0, 0][..], &nvarchar("", "SELECT 1"), &[0, 0, 0xF1, 0]];
        let read = Call::read(&message(line::RPC, &parts)).unwrap();
        assert!(matches!(&read[..], [Call::Refused(Message { number: 8009, .. })]), "{read:?}");
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for data in [&[][..], &[3, 0, 0, 0], &[9, 0, 0, 0, 1], &[8, 0, 0, 0, 3, 0, 0, 0], &[4, 0, 0, 0, 0x41]] {
            let message = Incoming { kind: line::SQL_BATCH, reset: false, data: data.to_vec() };
            assert!(Call::read(&message).is_err(), "{data:?}");
        }
        assert!(Call::read(&message(0x07, &[])).is_err());
    }
}
