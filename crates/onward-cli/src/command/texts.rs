//! Texts that a language model wrote before its run, and writes after it.

use crate::build::Begun;
use crate::language;
use crate::spec::Spec;
use onward::Result;
use onward::dataset::Dataset;
use onward::ledger::Header;
use onward::params::{Params, TensorSpec};
use onward::settings::Objective;
use onward_report::Continued;
use onward_run::folder::Folder;

/// Prompts that are shown.
const SHOWN: usize = 5;

/// The first prompts of the test rows with what a finished run's model writes after them, and wrote before it; none where it writes no texts.
pub(super) fn continued(
    spec: &Spec,
    (header, folder): (&Header, &Folder),
    tensors: &[TensorSpec],
    test: &Dataset,
) -> Result<Vec<Continued>> {
    let writes = matches!(spec.objective, Objective::ItemCrossEntropy(_) | Objective::Verifier(_));
    let Some(language) = language::of(spec, Some(Begun { header, folder }))?.filter(|_| writes) else {
        return Ok(Vec::new());
    };
    let rows: Vec<u32> = (0..test.rows().min(SHOWN) as u32).collect();
    // One after the other: each is as large as the model.
    let params = [folder.base(), folder.model()];
    let params = params.map(|path| move || Params::map(&path, tensors).map(|(params, _)| params));
    language::continued(&language, spec, params, &test.select(&rows))
}
