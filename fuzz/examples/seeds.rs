//! Writes small valid files into `fuzz/corpus/TARGET/`, from which the fuzzer starts:
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.

use std::error::Error;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use onward::ledger::{
    Entry, Header, Ledger, ModelDigest, Moves, Numerics, Optimizer, Recipe, Scaling, Search, TensorHeader,
    Update,
};
use onward::model::WeightSpace;
use onward::noise::{Family, RunKey};
use onward::params::{Init, Params, Storage, TensorSpec};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{FloatType, Int64Type};
use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let put = |target: &str, name: &str, bytes: &[u8]| -> Outcome {
        let folder = here.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    };
    let digits = fs::read_to_string(here.join("../data/digits.csv"))?;
    put("csv", "digits", digits.lines().take(3).collect::<Vec<_>>().join("\n").as_bytes())?;
    put("csv", "header", b"a,b,label\n1,2.5,0\n-3e2,\"4\",1\n")?;
    let idx = [&[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[1, 2, 3, 4, 5, 6]].concat();
    put("idx", "plain", &idx)?;
    put("idx", "packed", &gzip(&idx)?)?;
    let numbers: Vec<u8> = [1f32, -2.0, 3.5, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let arrays = [npy("<f4", "False", "(2, 2)", &numbers), npy("|u1", "True", "(2,)", &[0, 1])];
    put("npy", "floats", &arrays[0])?;
    put("npy", "bytes", &arrays[1])?;
    put("npz", "stored", &npz(&arrays, zip::CompressionMethod::Stored)?)?;
    put("npz", "deflated", &npz(&arrays, zip::CompressionMethod::Deflated)?)?;
    for file in fs::read_dir(here.join("../testdata/onnx"))? {
        let path = file?.path();
        if path.extension().is_some_and(|e| e == "onnx") {
            put("onnx", &path.file_stem().unwrap_or_default().to_string_lossy(), &fs::read(&path)?)?;
        }
    }
    let codecs = [
        ("plain", Compression::UNCOMPRESSED),
        ("snappy", Compression::SNAPPY),
        ("gzip", Compression::GZIP(GzipLevel::default())),
        ("lz4", Compression::LZ4_RAW),
        ("zstd", Compression::ZSTD(ZstdLevel::default())),
    ];
    for (name, codec) in codecs {
        put("parquet", name, &table(codec)?)?;
    }
    for entry in fs::read_dir(here.join("../specs"))? {
        let path = entry?.path();
        put("spec", &path.file_name().unwrap_or_default().to_string_lossy(), &fs::read(&path)?)?;
    }
    put("safetensors", "params", &params().to_safetensors(&[], &[("format", "pt".into())])?)?;
    for name in ["probes", "rerun", "losses"] {
        let file = ledger(name)?;
        put("ledger", name, &file)?;
        put("ledger", &format!("{name}-unsealed"), &unsealed(&file))?;
    }
    Ok(())
}

fn gzip(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn npy(kind: &str, order: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}");
    let text = format!("{text:<117}\n");
    [&b"\x93NUMPY\x01\x00"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes(), numbers].concat()
}

fn npz(arrays: &[Vec<u8>], method: zip::CompressionMethod) -> Outcome<Vec<u8>> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in ["x", "y"].iter().zip(arrays) {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("{name}.npy"), options)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

fn table(codec: Compression) -> Outcome<Vec<u8>> {
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let schema = Arc::new(parse_message_type("message m { required float a; optional int64 label; }")?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut group = writer.next_row_group()?;
    if let Some(mut column) = group.next_column()? {
        column.typed::<FloatType>().write_batch(&[0.5, 1.5, -2.0, 8.0], None, None)?;
        column.close()?;
    }
    if let Some(mut column) = group.next_column()? {
        column.typed::<Int64Type>().write_batch(&[0, 1, 2, 0], Some(&[1; 4]), None)?;
        column.close()?;
    }
    group.close()?;
    Ok(writer.into_inner()?)
}

fn params() -> Params {
    let spec = |name: &str, shape: Vec<usize>, init| TensorSpec { name: name.into(), shape, init };
    let weight = spec("fc.weight", vec![2, 3], Init::He { fan_in: 3 });
    Params::init(&[weight, spec("fc.bias", vec![2], Init::Constant(0.5))], &RunKey::from_seed(1))
}

/// A ledger whose records are whole, or such as have to be run again, or those of a search.
fn ledger(kind: &str) -> Outcome<Vec<u8>> {
    let space = WeightSpace::LowRank { rank: 1, noise: Family::Sign };
    let recipe = Recipe {
        moves: match kind {
            "probes" => Moves::Noise(space),
            "losses" => Moves::Search(Search::named("snes")?),
            _ => Moves::Directions,
        },
        optimizer: Optimizer { momentum: 0.9, scaling: Scaling::None },
        storage: Storage::F32,
    };
    let base = params();
    let header = Header {
        version: Some("0.1.0".into()),
        evaluator: Some("worker".into()),
        numerics: Some(Numerics::Exact("f32".into())),
        settings: None,
        model: Some(ModelDigest::Graph([5; 32])),
        rows: Some(onward::rows::Schema { count: 9, shape: [1, 1, 3], targets: onward::rows::TargetsSchema::Classes(2) }),
        seed: 1,
        steps: 3,
        goal: "minimize".into(),
        method: "population".into(),
        recipe,
        spec: [1; 32],
        interface: Some([4; 32]),
        data: [2; 32],
        test: Some([3; 32]),
        base: base.digest(),
        tensors: TensorHeader::all(&base),
        types: Default::default(),
    };
    let path = env::temp_dir().join(format!("onward-seeds-{}.ledger", std::process::id()));
    let _ = fs::remove_file(&path);
    let mut file = Ledger::create(&path, &header)?;
    for step in 0..3 {
        let update = match kind {
            "probes" => Update::Probes { exponent: -9, coefficients: vec![3, -200, step as i16] },
            "losses" => Update::Losses(vec![0.5, f32::INFINITY, 2.0]),
            _ => Update::Rerun { digest: (step == 1).then_some([7; 32]) },
        };
        file.append(&Entry { step, loss: 2.5, rate: 0.1, non_finite: step, update })?;
    }
    file.sync()?;
    let bytes = fs::read(&path)?;
    fs::remove_file(&path)?;
    Ok(bytes)
}

/// The records of a ledger without checksums and chain, each behind its length in two bytes.
fn unsealed(file: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), &file[8..]);
    while let [a, b, c, d, _, _, _, _, _, _, _, _, after @ ..] = rest {
        let (body, left) = after.split_at(u32::from_le_bytes([*a, *b, *c, *d]) as usize);
        // Between chain and end.
        let payload = &body[32..body.len() - 1];
        out.extend((payload.len() as u16).to_le_bytes());
        out.extend(payload);
        rest = left;
    }
    out
}
