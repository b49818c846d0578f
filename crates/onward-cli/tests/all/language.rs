//! Language models: tuned, asked, handed on, and what is wrong with their folders and texts.

use crate::common::Place;

#[cfg(not(feature = "language"))]
#[test]
fn a_program_without_language_models_says_which_has_them() {
    let place = Place::new();
    place.write("text.txt", "to be or not to be");
    place.write("model/config.json", "{}");
    for words in [
        "tune --model model --data text.txt",
        "generate --model model",
        "chat model",
        "serve model",
        "eval model text.txt",
    ] {
        place.onward(words).refuses(&["--features language"]);
    }
}

#[cfg(feature = "language")]
pub(crate) mod with {
    use super::Place;
    use onward::model::Graph;
    use onward::noise::RunKey;
    use onward::params::Params;
    use onward_language::{Answer, Config, Language, Learning};
    use serde_json::{Value, json};

    pub const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 100, "rms_norm_eps": 1e-05, "bos_token_id": 0, "eos_token_id": 1,
        "max_position_embeddings": 64, "tie_word_embeddings": true}"#;
    const GPT2: &str = r#"{"model_type": "gpt2", "n_embd": 16, "n_head": 4, "n_layer": 2, "n_positions": 64, "vocab_size": 100, "bos_token_id": 0,
        "eos_token_id": 1}"#;

    /// A tokenizer of single letters, behind a token that begins texts.
    pub fn tokenizer() -> Value {
        let mut vocabulary = serde_json::Map::new();
        vocabulary.insert("<s>".into(), 0.into());
        vocabulary.insert("</s>".into(), 1.into());
        for (place, letter) in ('\n'..='\n').chain(' '..='~').enumerate() {
            vocabulary.insert(letter.to_string(), (place + 2).into());
        }
        let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
        let begin = json!({"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}});
        json!({"version": "1.0", "added_tokens": [special(0, "<s>"), special(1, "</s>")],
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": begin},
            "decoder": {"type": "Fuse"},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []}})
    }

    /// A folder with a small model of random weights.
    pub fn folder(place: &Place, name: &str, config: &str) -> Params {
        let prefix = if config.contains("gpt2") { "transformer." } else { "model." };
        let net = Language {
            config: Config::read(config).unwrap(),
            prefix: prefix.into(),
            answer: Answer::Tokens,
            learning: Learning::default(),
        };
        let graph = Graph::new(&net, [1, 1, 1]).unwrap();
        let params = Params::init(graph.tensors(), &RunKey::from_seed(7));
        place.write(&format!("{name}/config.json"), config);
        place.write(&format!("{name}/tokenizer.json"), tokenizer().to_string());
        let mut file = params.clone();
        if config.contains("gpt2") {
            // Files have these matrices across; square ones and others alike.
            let across = |t: &onward::params::Tensor| {
                let [rows, columns] = t.shape[..] else { return t.clone() };
                if !t.name.contains(".c_") {
                    return t.clone();
                }
                let x = t.data.floats();
                let turned = (0..rows * columns).map(|i| x[i % rows * columns + i / rows]);
                let bytes = turned.flat_map(f32::to_le_bytes).collect();
                let data = onward::params::TensorData::new(onward::params::DType::F32, bytes, &[]).unwrap();
                onward::params::Tensor { name: t.name.clone(), shape: vec![columns, rows], data }
            };
            file = Params::from_tensors(params.tensors().iter().map(across).collect());
        }
        let path = format!("{name}/model.safetensors");
        place.write(&path, file.to_safetensors(&[], &[]).unwrap());
        params
    }

    fn text() -> String {
        "the cat sat on the mat. the dog sat on the log.\n".repeat(60)
    }

    fn prepared(config: &str) -> Place {
        let place = Place::new();
        folder(&place, "model", config);
        place.write("text.txt", text());
        place
    }

    const TUNE: &str = "tune --model model --data text.txt --length 32 --rate 0.01 --name tuned";

    #[test]
    fn a_model_is_tuned_asked_and_handed_on() {
        for config in [CONFIG, GPT2] {
            let place = prepared(config);
            let before = place.onward("eval model text.txt --json").last_json()["loss"].as_f64().unwrap();
            let told = place.onward(&format!("{TUNE} --steps 60")).good();
            assert!(told.contains("row 0, 32 tokens, 32 asked: []the cat sat on"), "{told}");
            let after = place.onward("eval runs/tuned text.txt --json").last_json()["loss"].as_f64().unwrap();
            assert!(after < 0.6 * before, "{before} -> {after}");
            place.onward("verify runs/tuned --from-start --quiet").good();
            let ask = |model: &str, words: &str| {
                place.onward(&format!("generate --model {model} --prompt the --tokens 24 {words}")).good()
            };
            let greedy = ask("runs/tuned", "--greedy");
            assert_eq!(greedy.chars().count(), 24, "{greedy:?}");
            assert_eq!(greedy, ask("runs/tuned", "--greedy --threads 1"));
            assert_eq!(ask("runs/tuned", "--seed 3"), ask("runs/tuned", "--seed 3 --threads 1"));
            assert_ne!(ask("runs/tuned", "--seed 3"), ask("runs/tuned", "--seed 4"));
            // What others load says the same.
            place.onward("export runs/tuned --as folder --out handed").good();
            assert_eq!(greedy, ask("handed", "--greedy"));
            place
                .onward("export runs/tuned --as folder --out handed")
                .refuses(&["handed: expected a file, a device or a new name"]);
            let of_handed = place.onward("eval handed text.txt --json").last_json();
            // The run's rows have 32 tokens, the folder's as many as the model reads.
            assert!(of_handed["loss"].as_f64().unwrap() < before);
            assert!(!place.path("handed.part").exists());
            place
                .onward("export runs/tuned --as peft --out adapter")
                .refuses(&["model.learns", "as PEFT's files have these alone"]);
        }
    }

    #[test]
    fn threads_ends_and_goings_on_change_no_bits() {
        let place = prepared(CONFIG);
        let digest =
            |run: &str| place.onward(&format!("replay runs/{run} --json")).last_json()["digest"].clone();
        place.onward(&format!("{TUNE} --steps 20 --threads 1")).good();
        place.onward(&format!("{TUNE} --steps 20 --threads 2 --set name=two")).good();
        assert_eq!(digest("tuned"), digest("two"));
        // The folder and the tokenizer may be gone: the run has kept what it needs.
        std::fs::remove_dir_all(place.path("model")).unwrap();
        place.onward("resume runs/tuned --steps 30").good();
        place.onward("verify runs/tuned --quiet").good();
        let mut texts = place.read("runs/tuned/language.json");
        let at = texts.len() / 2;
        texts[at] ^= 1;
        place.write("runs/tuned/language.json", texts);
        place.onward("generate --model runs/tuned").finds_damage(&["language.json"]);
    }

    #[test]
    fn a_ledger_and_the_model_it_began_with_are_the_tuned_model() {
        let place = prepared(CONFIG);
        let tune = format!("{TUNE} --method two-point --steps 8 --set method.rate=1e-4 --set model.top=1");
        place.onward(&tune).good();
        let wanted = place.onward("replay runs/tuned --json").last_json()["digest"].clone();
        for threads in [1, 2] {
            let words = format!(
                "apply runs/tuned/ledger.bin --base model --out out{threads} --threads {threads} --json"
            );
            assert_eq!(place.onward(&words).last_json()["digest"], wanted);
        }
        place.onward("export runs/tuned --as folder --out handed").good();
        let weights = |folder: &str| {
            Params::tensors_from_safetensors(&place.read(&format!("{folder}/model.safetensors"))).unwrap()
        };
        assert_eq!(weights("handed"), weights("out1"));
        // One that is not all there, and a base whose weights are in two bytes.
        let ledger = place.read("runs/tuned/ledger.bin");
        place.write("torn.bin", &ledger[..ledger.len() - 3]);
        place.onward("apply torn.bin --base model --out other").refuses(&["torn.bin", "all 8 steps"]);
        let small = Params::tensors_from_safetensors(&place.read("model/model.safetensors")).unwrap();
        let small = Params::from_tensors(small).stored_as(onward::params::Storage::Bf16);
        for name in ["config.json", "tokenizer.json"] {
            place.write(&format!("small/{name}"), place.read(&format!("model/{name}")));
        }
        place.write("small/model.safetensors", small.to_safetensors(&[], &[]).unwrap());
        place
            .onward(&tune.replace("--model model", "--model small").replace("--name tuned", "--name small"))
            .good();
        place.onward("apply runs/small/ledger.bin --base small --out out-small/").good();
        // Another base, and a run that its ledger alone does not tell.
        let mut params = place.read("model/model.safetensors");
        let last = params.len() - 1;
        params[last] ^= 1;
        place.write("model/model.safetensors", params);
        place
            .onward("apply runs/tuned/ledger.bin --base model --out other")
            .refuses(&["model: expected the model that the ledger begins with"]);
        place.onward(&format!("{TUNE} --steps 2 --set name=local")).good();
        place
            .onward("apply runs/local/ledger.bin --base model --out other")
            .refuses(&["a run in weight space"]);
        assert!(!place.path("other").exists());
    }

    #[test]
    fn adapters_go_out_alone_or_merged() {
        let place = prepared(CONFIG);
        place.onward(&format!("{TUNE} --steps 40 --adapter lora:r=2")).good();
        place.onward("export runs/tuned --as peft --out adapter").good();
        let config: Value = serde_json::from_slice(&place.read("adapter/adapter_config.json")).unwrap();
        assert_eq!((config["r"].as_u64(), config["lora_alpha"].as_f64()), (Some(2), Some(4.0)));
        assert_eq!(config["target_modules"], json!(["q_proj", "v_proj"]));
        let names = Params::names_in(&place.read("adapter/adapter_model.safetensors")).unwrap();
        let wanted = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
        assert!(names.iter().any(|name| name == wanted) && names.len() == 12, "{names:?}");
        let with_head = format!("{TUNE} --steps 2 --set name=head --set model.learns=adapters-and-head");
        place.onward(&with_head).good();
        place
            .onward("export runs/head --as peft --out half")
            .refuses(&["model.learns", "--as folder has all"]);
        place.onward("export runs/tuned --as folder --out merged").good();
        let ask = |model: &str| {
            place.onward(&format!("generate --model {model} --prompt the --tokens 20 --greedy")).good()
        };
        assert_eq!(ask("runs/tuned"), ask("merged"));
        assert_ne!(ask("merged"), ask("model"));
    }

    #[test]
    fn examples_ask_about_completions_alone_and_every_way_to_learn_learns() {
        let place = prepared(CONFIG);
        let lines = |n: usize| format!("{{\"prompt\": \"say {n}: \", \"completion\": \"{}\"}}\n", n % 3);
        place.write("train.jsonl", (0..80).map(lines).collect::<String>());
        place.write("dev.jsonl", (100..130).map(lines).collect::<String>());
        let told = place
            .onward("tune --model model --data train.jsonl --eval dev.jsonl --length 20 --rate 0.01 --steps 40 --name lines")
            .good();
        assert!(told.contains("row 0, 9 tokens, 2 asked: [say 0: ]0"), "{told}");
        let before = place.onward("eval model text.txt --json").last_json()["loss"].as_f64().unwrap();
        let loss = |run: &str| {
            let last = place
                .metrics(&format!("runs/{run}"))
                .into_iter()
                .rev()
                .find(|l| l.contains("\"train_loss\""))
                .unwrap();
            serde_json::from_str::<Value>(&last).unwrap()["value"].as_f64().unwrap()
        };
        for (name, keys) in [
            ("stream", "--set method.differences=2"),
            (
                "narrow",
                "--set model.learns=bottlenecks-and-head --set method.differences=1 --set method.differences_at=layers --set model.adapted=[\"o_proj\"]",
            ),
            ("head", "--set model.learns=head"),
            ("maps", "--set model.learns=maps --set model.top=1 --set model.norms=true"),
            ("mezo", "--method two-point --set method.directions=1 --set method.rate=1e-4"),
        ] {
            place.onward(&format!("{TUNE} --steps 25 --set name={name} {keys}")).good();
            assert!(loss(name) < before + 0.2, "{name}: {before} -> {}", loss(name));
        }
    }

    #[test]
    fn conversations_are_written_by_the_models_template() {
        let place = prepared(CONFIG);
        let line = |n: usize| {
            format!(
                "{{\"messages\": [{{\"role\": \"user\", \"content\": \"q{n}\"}}, {{\"role\": \"assistant\", \"content\": \"a{}\"}}]}}\n",
                n % 3
            )
        };
        place.write("chat.jsonl", (0..60).map(line).collect::<String>());
        let tune = "tune --model model --data chat.jsonl --length 24 --rate 0.01 --steps 20 --name chat";
        place.onward(tune).refuses(&["chat.jsonl", "a chat template"]);
        place.write("model/chat_template.jinja", "{{ bos_token }}{% for m in messages %}[{{ m.role[0] }}] {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[a] {% endif %}");
        place.write(
            "model/tokenizer_config.json",
            r#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}}"#,
        );
        let told = place.onward(tune).good();
        assert!(told.contains("row 0, 14 tokens, 3 asked: [[u] q0[a] ]a0"), "{told}");
        let answer = place.onward("generate --model runs/chat --prompt q1 --chat --greedy --tokens 8").good();
        assert!(answer.chars().count() <= 8, "{answer:?}");
        place.write("model/chat_template.jinja", "{{ raise_exception('no') }}");
        place.onward("generate --model model --prompt q --chat").refuses(&["chat_template", "no"]);
    }

    #[test]
    fn what_is_wrong_with_folders_and_texts_is_named() {
        let place = prepared(CONFIG);
        let refused = |words: &str, parts: &[&str]| {
            place.onward(words).refuses(parts);
        };
        refused("generate --model nowhere", &["nowhere: expected a folder with config.json"]);
        refused("generate --model model --prompt x --top-p 1.5", &["top_p"]);
        let long = "x".repeat(70);
        refused(
            &format!("generate --model model --prompt {long}"),
            &["prompt: expected 1 to 64 tokens, found 71"],
        );
        refused("tune --model model --data text.txt --length 65", &["data.length", "at most 64"]);
        place.write("bad.jsonl", "{\"text\": \"a\"}\n{\"prompt\": 3}\n");
        refused("tune --model model --data bad.jsonl", &["bad.jsonl", "line 2"]);
        place.write("binary.txt", [b'a', 0xff, b'b']);
        refused("tune --model model --data binary.txt", &["binary.txt", "byte 1", "UTF-8"]);
        refused("tune --model model --data text.txt --set data.format=csv", &["data.format"]);
        let config = |from: &str, to: &str| place.write("model/config.json", CONFIG.replace(from, to));
        place.write("elsewhere/text.txt", "other words");
        place.write("elsewhere/model/config.json", CONFIG);
        for name in ["tokenizer.json", "model.safetensors"] {
            place.write(&format!("elsewhere/model/{name}"), place.read(&format!("model/{name}")));
        }
        let rows =
            |model: &str| place.onward(&format!("eval {model} text.txt --json")).last_json()["rows"].as_u64();
        assert_eq!(rows("elsewhere/model"), rows("model"), "a text is looked for where the command is given");
        let said = place.onward("tune --model model --data text.txt --spec --set method.sigma=0.5").good();
        assert!(said.contains("sigma = 0.5"), "{said}");
        refused("tune --model model --data text.txt --set data.document_end=", &["data.document_end"]);
        refused("tune --model model --data text.txt --layers top:4", &["model.top", "at most 3"]);
        place.write("text.csv", "a,b");
        refused("tune --model model --data text.csv", &["text.csv", "data.format"]);
        config("\"llama\"", "\"llama\", \"quantization_config\": {\"bits\": 4}");
        refused("generate --model model", &["quantization_config: expected no such key"]);
        config("llama", "mamba");
        refused("generate --model model", &["model/config.json: model_type: expected one of llama"]);
        config("\"vocab_size\": 100", "\"vocab_size\": 90");
        refused("generate --model model", &["tokenizer.json: vocabulary: expected at most 90"]);
        config("\"intermediate_size\": 24", "\"intermediate_size\": 20");
        refused(
            "generate --model model",
            &["model.safetensors: ", "expected shape [20, 16], found [24, 16]"],
        );
        config("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
        refused("generate --model model", &["model.layers.2.", "found another"]);
        config("x", "x");
        let mut dropping = tokenizer();
        dropping["model"]["dropout"] = json!(0.5);
        place.write("model/tokenizer.json", dropping.to_string());
        refused("generate --model model", &["tokenizer.json: model.dropout"]);
        place.write("model/tokenizer.json", "{}");
        refused("generate --model model", &["tokenizer.json", "tokenizer"]);
        place.write("model/tokenizer.json", tokenizer().to_string());
        // Shards.
        let whole = place.read("model/model.safetensors");
        std::fs::rename(place.path("model/model.safetensors"), place.path("model/part.safetensors")).unwrap();
        let names = Params::names_in(&whole).unwrap();
        let index = |file: &str| {
            let map: serde_json::Map<String, Value> =
                names.iter().map(|n| (n.clone(), file.into())).collect();
            place.write("model/model.safetensors.index.json", json!({"weight_map": map}).to_string());
        };
        index("part.safetensors");
        place.onward("generate --model model --tokens 3 --greedy").good();
        index("missing.safetensors");
        refused("generate --model model", &["missing.safetensors"]);
        index("../part.safetensors");
        refused("generate --model model", &["beside it"]);
        index("part.safetensors");
        place.write("model/part.safetensors", &whole[..whole.len() / 2]);
        refused("generate --model model", &["part.safetensors", "safetensors"]);
    }
}
