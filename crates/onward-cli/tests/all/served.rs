//! Language models that programs ask over HTTP, and people line by line.

use crate::common::{Done, Place, wait_until};
use crate::language::with::{CONFIG, folder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server, which is ended with the test.
struct Server {
    child: Child,
    address: String,
    _place: Place,
}

/// What a request was answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    #[track_caller]
    fn good(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()
    }

    /// The events of a stream, the last of which is `[DONE]`.
    #[track_caller]
    fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        assert!(self.head.contains("text/event-stream"), "{}", self.head);
        let mut events: Vec<&str> = self.body.split_terminator("\n\n").collect();
        assert_eq!(events.pop(), Some("data: [DONE]"));
        let one = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        events.into_iter().map(one).collect()
    }

    /// This status, and an error as OpenAI words it, whose message has all the parts.
    #[track_caller]
    fn refused(&self, status: u16, parts: &[&str]) {
        assert_eq!(self.status, status, "{}", self.body);
        let error = &self.json()["error"];
        let message = error["message"].as_str().unwrap();
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?} in {message}");
        assert!(["invalid_request_error", "server_error"].contains(&error["type"].as_str().unwrap()));
        assert!(error.get("param").is_some() && error.get("code").is_some());
    }
}

const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}[{{ m.role[0] }}] {{ m.content }}{% endfor %}[a] ";
/// What the small model is where answers are to take as long as they may.
fn endless() -> String {
    CONFIG.replace("\"eos_token_id\": 1,", "").replace(": 64", ": 200000")
}

fn prepared(config: &str) -> Place {
    let place = Place::new();
    folder(&place, "model", config);
    place.write("model/chat_template.jinja", TEMPLATE);
    place.write("model/tokenizer_config.json", r#"{"bos_token": "<s>"}"#);
    place
}

impl Server {
    fn start(config: &str, words: &str) -> Self {
        let place = prepared(config);
        let words = format!("serve model --address 127.0.0.1:0 --json {words}");
        let mut child = place.command(&words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["event"], "serving");
        let address = event["address"].as_str().unwrap().to_owned();
        Self { child, address, _place: place }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// Sends a request as it is.
    fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    fn begin(&self, path: &str, body: &Value) -> TcpStream {
        let body = body.to_string();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn ask(&self, path: &str, body: &Value) -> Answer {
        read(self.begin(path, body))
    }

    fn complete(&self, body: &Value) -> Answer {
        self.ask("/v1/completions", body)
    }

    fn chat(&self, body: &Value) -> Answer {
        self.ask("/v1/chat/completions", body)
    }

    fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A whole answer, whose body may come in chunks.
fn read(mut stream: TcpStream) -> Answer {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let text = String::from_utf8(all).unwrap();
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = rest.to_owned();
    if head.contains("transfer-encoding: chunked") {
        body.clear();
        while let Some((size, after)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap();
            body.push_str(&after[..size]);
            rest = &after[size + 2..];
        }
    }
    Answer { status, head: head.to_owned(), body }
}

/// What streamed choices add up to: their texts, and why they ended.
fn joined(events: &[Value], text: impl Fn(&Value) -> &Value) -> BTreeMap<u64, (String, String)> {
    let mut all = BTreeMap::<u64, (String, String)>::new();
    for choice in events.iter().flat_map(|event| event["choices"].as_array().unwrap()) {
        let own = all.entry(choice["index"].as_u64().unwrap()).or_default();
        own.0 += text(choice).as_str().unwrap_or_default();
        own.1 += choice["finish_reason"].as_str().unwrap_or_default();
    }
    all
}

#[test]
fn completions_and_conversations_are_answered_whole_and_as_streams() {
    let mut server = Server::start(CONFIG, "");
    let ask = json!({"prompt": ["the ", "a"], "n": 2, "max_tokens": 12, "seed": 3, "temperature": 1.5});
    let whole = server.complete(&ask).good();
    assert_eq!(whole["object"], "text_completion");
    let choices = whole["choices"].as_array().unwrap();
    let texts: Vec<&str> = choices.iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 4);
    assert_ne!(texts[0], texts[1]);
    assert_eq!(whole["usage"]["prompt_tokens"], 7);
    assert_eq!(whole["choices"], server.complete(&ask).good()["choices"], "the same seed");
    let mut streamed = ask.clone();
    streamed["stream"] = true.into();
    streamed["stream_options"] = json!({"include_usage": true});
    let mut events = server.complete(&streamed).events();
    assert_eq!(events.pop().unwrap()["usage"], whole["usage"]);
    let streamed = joined(&events, |choice| &choice["text"]);
    for (index, choice) in choices.iter().enumerate() {
        let (text, why) = &streamed[&(index as u64)];
        assert_eq!((text.as_str(), why.as_str()), (texts[index], choice["finish_reason"].as_str().unwrap()));
    }
    // What `generate` prints, and alone what it is beside others.
    let alone = json!({"prompt": "the ", "max_tokens": 12, "seed": 3, "temperature": 1.5});
    assert_eq!(server.complete(&alone).good()["choices"][0]["text"], texts[0]);
    let words = "generate --model model --tokens 12 --seed 3 --temperature 1.5 --prompt";
    let mut words: Vec<&str> = words.split(' ').collect();
    words.push("the ");
    assert_eq!(Done::of(server._place.program(&words)).good(), texts[0]);
    // Conversations.
    let ask = json!({"messages": [{"role": "user", "content": "q"}], "model": "model", "max_completion_tokens": 5,
        "seed": 1, "user": "u", "tools": [], "presence_penalty": 0, "logprobs": true, "top_logprobs": 2});
    let whole = server.chat(&ask).good();
    let choice = &whole["choices"][0];
    assert_eq!(
        (&whole["object"], &choice["message"]["role"]),
        (&"chat.completion".into(), &"assistant".into())
    );
    let likely = choice["logprobs"]["content"].as_array().unwrap();
    let text: String = likely.iter().map(|own| own["token"].as_str().unwrap()).collect();
    assert_eq!(choice["message"]["content"], text);
    for own in likely {
        let top = own["top_logprobs"].as_array().unwrap();
        let log = |own: &Value| own["logprob"].as_f64().unwrap();
        assert!(top.len() == 2 && log(&top[0]) >= log(&top[1]) && log(&top[0]) >= log(own) && log(own) < 0.0);
    }
    let mut streamed = ask.clone();
    streamed["stream"] = true.into();
    let events = server.chat(&streamed).events();
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let (said, why) = &joined(&events, |choice| &choice["delta"]["content"])[&0];
    assert_eq!((said, why.as_str()), (&text, choice["finish_reason"].as_str().unwrap()));
    let parts = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}], "max_tokens": 5, "seed": 1});
    assert_eq!(server.chat(&parts).good()["choices"][0]["message"]["content"], text);
    // Models.
    let get = |path: &str| {
        read(server.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")))
    };
    assert_eq!(get("/v1/models").good()["data"][0]["id"], "model");
    assert_eq!(get("/v1/models/model").good()["object"], "model");
    server.interrupt();
    assert_eq!(server.code(), Some(0));
}

#[test]
fn texts_that_stop_answers_are_no_part_of_them() {
    let server = Server::start(CONFIG, "--name small");
    let ask = json!({"prompt": "x", "max_tokens": 30, "temperature": 0, "model": "small"});
    let whole = server.complete(&ask).good()["choices"][0].clone();
    let text = whole["text"].as_str().unwrap().to_owned();
    let letters: Vec<char> = text.chars().collect();
    let stop: String = letters[3..5].iter().collect();
    let at = text.find(&stop).unwrap();
    for stream in [false, true] {
        let mut ask = ask.clone();
        ask["stop"] = json!(["\u{1}never", stop]);
        ask["stream"] = stream.into();
        let answer = server.complete(&ask);
        let (found, why) = if stream {
            joined(&answer.events(), |choice| &choice["text"])[&0].clone()
        } else {
            let choice = &answer.good()["choices"][0];
            (choice["text"].as_str().unwrap().into(), choice["finish_reason"].as_str().unwrap().into())
        };
        assert_eq!((found.as_str(), why.as_str()), (&text[..at], "stop"));
    }
    let tokens = json!({"prompt": [0, 2, 3], "max_tokens": 2, "temperature": 0, "logprobs": 3});
    let choice = server.complete(&tokens).good()["choices"][0].clone();
    assert_eq!(choice["logprobs"]["text_offset"], json!([0, 1]));
    assert_eq!(choice["logprobs"]["top_logprobs"][0].as_object().unwrap().len(), 3);
}

#[test]
fn what_cannot_be_answered_is_refused_in_openais_words() {
    let server = Server::start(CONFIG, "");
    let completion = |field: &str, value: Value| {
        let mut ask = json!({"prompt": "x", "max_tokens": 2});
        ask[field] = value;
        server.complete(&ask)
    };
    for (field, value, status, parts) in [
        ("model", json!("gpt-4"), 404, &["model: expected \"model\", found \"gpt-4\""][..]),
        ("prompt", json!("y".repeat(64)), 400, &["prompt: expected 1 to 64 tokens, found 65"]),
        ("prompt", json!([[5, 100]]), 400, &["tokens below 100, found 100"]),
        ("prompt", json!({"a": 1}), 400, &["prompt: expected a text"]),
        ("prompt", json!([]), 400, &["prompt: expected at least one"]),
        ("prompt", json!([[]]), 400, &["prompt: expected 1 to 64 tokens, found 0"]),
        ("temperature", json!(-1), 400, &["temperature: expected a number from 0"]),
        ("temperature", json!("hot"), 400, &["temperature"]),
        ("top_p", json!(1.5), 400, &["top_p: expected a number from 0 to 1"]),
        ("max_tokens", json!(0), 400, &["max_tokens"]),
        ("n", json!(1000), 400, &["n: expected a whole number from 1 to 128"]),
        ("seed", json!(1.5), 400, &["seed"]),
        ("stop", json!(3), 400, &["stop: expected a text or a list of texts"]),
        ("stream", json!("yes"), 400, &["stream: expected true or false"]),
        ("logit_bias", json!({"5": 100}), 400, &["logit_bias: not supported"]),
        ("frequency_penalty", json!(0.5), 400, &["frequency_penalty: not supported"]),
        ("echo", json!(true), 400, &["echo: not supported"]),
        ("no_such_field", json!(1), 400, &["no_such_field: not supported"]),
        ("best_of", json!(3), 400, &["best_of"]),
    ] {
        completion(field, value).refused(status, parts);
    }
    let turn = |turns: Value| server.chat(&json!({"messages": turns, "max_tokens": 1}));
    turn(json!([])).refused(400, &["messages: expected a list of turns"]);
    turn(json!([{"role": "user"}])).refused(400, &["messages"]);
    turn(json!([{"role": "tool", "content": "x"}])).refused(400, &["no tools"]);
    let image = json!([{"type": "image_url", "image_url": {"url": "x"}}]);
    turn(json!([{"role": "user", "content": image}])).refused(400, &["messages"]);
    let tools = json!({"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function"}]});
    server.chat(&tools).refused(400, &["tools: not supported"]);
    let send = |text: &str| read(server.send(text));
    let post = |head: &str, body: &str| {
        send(&format!(
            "POST /v1/completions HTTP/1.1\r\n{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let own = "host: 127.0.0.1:8000\r\n";
    post(own, "{\"prompt\": ").refused(400, &["body: expected JSON"]);
    post(own, "[1]").refused(400, &["body: expected a JSON object"]);
    post(own, &"[".repeat(100_000)).refused(400, &["body: expected JSON"]);
    post(own, "{\"prompt\": \"x\", \"max_tokens\": 1, \"seed\": 1e400}")
        .refused(400, &["body: expected JSON"]);
    let from = |name: &str| post(&format!("{own}origin: {name}\r\n"), "{\"max_tokens\": 1}");
    from("https://example.com").refused(403, &["origin"]);
    assert_eq!(from("http://localhost:3000").status, 200);
    assert_eq!(from("http://[::1]").status, 200);
    post("host: example.com\r\n", "{}").refused(403, &["host"]);
    send("GET /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .refused(405, &["POST"]);
    send("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").refused(404, &["/metrics"]);
    let large = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        9 << 20
    );
    let mut stream = server.send(&large);
    // The server may answer before it has heard all.
    let _ = stream.write_all(&vec![b' '; 9 << 20]);
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    assert_eq!(send("rubbish\r\n\r\n").status, 400);
    // A body that ends too early is no request, and harms nobody.
    drop(
        server.send("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"pro"),
    );
    assert_eq!(completion("n", json!(1)).status, 200);
}

/// Reads what is sent until there is something of the answer's text.
fn read_some(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"text\":\"") {
        let mut more = [0; 512];
        let n = stream.read(&mut more).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&more[..n]);
    }
}

#[test]
fn clients_that_leave_make_room_for_others() {
    let server = Server::start(&endless(), "--rows 1");
    let long = |stream: bool| json!({"prompt": "x", "max_tokens": 190_000, "stream": stream});
    for stream in [true, false] {
        let mut first = server.begin("/v1/completions", &long(stream));
        if stream {
            read_some(&mut first);
        }
        drop(first);
        // There is one row: as long as the first request has it, this one waits.
        let next = server.complete(&json!({"prompt": "y", "max_tokens": 3, "temperature": 0}));
        assert_eq!(next.good()["usage"]["completion_tokens"], 3);
    }
}

#[test]
fn ctrl_c_lets_requests_end_and_a_second_one_ends_them() {
    let mut server = Server::start(&endless(), "");
    let mut stream =
        server.begin("/v1/completions", &json!({"prompt": "x", "max_tokens": 300, "stream": true}));
    read_some(&mut stream);
    server.interrupt();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"finish_reason\":\"length\"") && rest.contains("data: [DONE]"), "{rest}");
    assert_eq!(server.code(), Some(0));
    assert!(TcpStream::connect(&server.address).is_err());

    let mut server = Server::start(&endless(), "");
    let long = json!({"prompt": "x", "max_tokens": 190_000, "stream": true});
    let mut stream = server.begin("/v1/completions", &long);
    read_some(&mut stream);
    server.interrupt();
    wait_until(|| TcpStream::connect(&server.address).is_err());
    server.interrupt();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("the server is stopping") && rest.contains("data: [DONE]"), "no error at the end");
    assert_eq!(server.code(), Some(0));
}

#[test]
fn others_are_listened_to_only_if_told() {
    let place = prepared(CONFIG);
    place.onward("serve model --address 0.0.0.0:0").refuses(&["--address", "--allow-remote", "0.0.0.0:0"]);
    place.onward("serve model --address nonsense").refuses(&["--address: expected HOST:PORT", "nonsense"]);
    place.onward("serve nowhere").refuses(&["nowhere", "config.json"]);
    let server = Server::start(CONFIG, "");
    place
        .onward(&format!("serve model --address {}", server.address))
        .refuses(&["cannot listen at 127.0.0.1:"]);
}

#[test]
fn a_conversation_goes_on_line_by_line() {
    let place = prepared(CONFIG);
    let talk = |words: &str, input: &str| {
        let mut child = place
            .command(&format!("chat model --greedy --tokens 6 {words}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
    };
    let events = |done: Done| -> Vec<Value> {
        done.good().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let both = events(talk("--json", "q\nr\n"));
    assert_eq!(both.len(), 2);
    let say = |messages: &str| {
        let text = messages.to_owned();
        let words = ["generate", "--model", "model", "--greedy", "--tokens", "6", "--prompt", &text];
        Done::of(place.program(&words)).good()
    };
    let first = both[0]["text"].as_str().unwrap();
    assert_eq!(first, say("[u] q[a] "));
    assert_eq!(both[1]["text"], say(&format!("[u] q[a] {first}[u] r[a] ")), "what was said is remembered");
    assert_eq!(events(talk("--json --system s", "q\n"))[0]["text"], say("[s] s[u] q[a] "));
    assert_eq!(talk("", "q\n\nr\n").good(), format!("{first}\n"), "an empty line ends it");
    assert_eq!(talk("", "").good(), "");
    talk("", &"x".repeat(60)).refuses(&["what is said: expected at most"]);
    let many = talk("--json", &"some words\n".repeat(8));
    assert!(many.code == Some(0) && many.err.contains("turns are forgotten"), "{}", many.err);
    assert_eq!(many.out.lines().count(), 8);
    std::fs::remove_file(place.path("model/chat_template.jinja")).unwrap();
    talk("", "q\n").refuses(&["a chat template"]);
    let server = Server::start(CONFIG, "");
    std::fs::remove_file(server._place.path("model/chat_template.jinja")).unwrap();
    assert_eq!(server.chat(&json!({"messages": [{"role": "user", "content": "q"}]})).status, 200);
}

#[test]
fn ctrl_c_stops_an_answer_and_not_the_conversation() {
    let place = prepared(&endless());
    let said = place.write("said.txt", "");
    let mut command = place.command("chat model --tokens 190000");
    let out = std::fs::File::create(&said).unwrap();
    let mut child = command.stdin(Stdio::piped()).stdout(out).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let length = || std::fs::metadata(&said).unwrap().len();
    let interrupt = || Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    // One answer, and when it is stopped the next one.
    for line in [b"q\n", b"r\n"] {
        let before = length();
        input.write_all(line).unwrap();
        wait_until(|| length() > before + 20);
        interrupt();
        wait_until(|| {
            let now = length();
            std::thread::sleep(Duration::from_millis(300));
            length() == now
        });
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
