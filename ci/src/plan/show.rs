//! Plans for people: as text, compared with another one, and one step explained.

use std::fmt::Write as _;

use super::{Action, Image, Input, Plan, Step};

/// One line a step, grouped by wheel. `state` says what is known of a step, for example `cached`.
pub fn text(plan: &Plan, state: impl Fn(&Step) -> &'static str) -> String {
    let mut out = String::new();
    for wheel in &plan.wheels {
        let partial = if wheel.complete { "" } else { "  (not every architecture of versions.toml)" };
        let _ = writeln!(out, "wheel  {}/{}{partial}", wheel.folder, wheel.file_name);
    }
    let width = plan.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    for step in &plan.steps {
        let _ = writeln!(out, "{:<7}{:<width$}  {}  {}", state(step), step.name, &step.key[..12], about(step));
    }
    out
}

/// One line of what a step does.
pub fn about(step: &Step) -> String {
    match &step.action {
        Action::Fetch { file, .. } => format!("download and unpack {}", file.name),
        Action::Openblas { soname, .. } => format!("OpenBLAS under the SONAME {soname}"),
        Action::Kernels(kernels) => {
            let image = |image: &Image| format!("{}{}", image.arch, if image.ptx { "+PTX" } else { "" });
            let images: Vec<String> = kernels.images.iter().map(image).collect();
            format!("kernels of {} for {}", kernels.family, images.join(", "))
        }
        Action::Extension { target, .. } => format!("the Rust extension for {target}"),
        Action::Shim { needed, .. } => format!("the library that needs {}", needed.join(" and ")),
        Action::Stage(stage) => format!("the package of {}", stage.name.distribution),
        Action::Archive { name, .. } => name.to_string(),
        Action::Verify { file_name, .. } => format!("what {file_name} holds"),
    }
}

/// What would run again when going from `old` to `new`, and which input changed.
pub fn diff(old: &Plan, new: &Plan) -> String {
    let (before, after) = (old.by_name(), new.by_name());
    let mut out = String::new();
    let mut same = 0;
    for step in &new.steps {
        match before.get(step.name.as_str()) {
            None => {
                let _ = writeln!(out, "+ {}", step.name);
            }
            Some(was) if was.key == step.key => same += 1,
            Some(was) => {
                let _ = writeln!(out, "~ {}", step.name);
                for reason in changes(was, step, old, new) {
                    let _ = writeln!(out, "    {reason}");
                }
            }
        }
    }
    for step in old.steps.iter().filter(|step| !after.contains_key(step.name.as_str())) {
        let _ = writeln!(out, "- {}", step.name);
    }
    let _ = writeln!(out, "{same} of {} steps unchanged", new.steps.len());
    out
}

fn changes(was: &Step, now: &Step, old: &Plan, new: &Plan) -> Vec<String> {
    let mut reasons = Vec::new();
    let find = |inputs: &[Input], name: &str| inputs.iter().find(|input| input.name() == name).cloned();
    for input in &now.inputs {
        match find(&was.inputs, &input.name()) {
            None => reasons.push(format!("new input: {}", input.name())),
            Some(before) if before.sha256() != input.sha256() => reasons.push(format!("changed: {}", input.name())),
            Some(_) => {}
        }
    }
    for input in was.inputs.iter().filter(|input| find(&now.inputs, &input.name()).is_none()) {
        reasons.push(format!("no longer an input: {}", input.name()));
    }
    let (before, after) = (old.by_name(), new.by_name());
    for need in &now.needs {
        let keys = (before.get(need.as_str()).map(|step| &step.key), after.get(need.as_str()).map(|step| &step.key));
        if keys.0 != keys.1 {
            reasons.push(format!("its input comes from {need}, which changed"));
        }
    }
    let settings = |step: &Step| serde_json::to_string(&step.action).expect("plain data serializes");
    if settings(was) != settings(now) {
        reasons.push("its settings changed".to_owned());
    }
    reasons
}

/// Inputs, outputs and key of a step; `verdict` says whether it would run, and why.
pub fn explain(plan: &Plan, step: &Step, verdict: &str) -> String {
    let mut out = format!("{}: {}\n  {verdict}\n  key      {}\n", step.name, about(step), step.key);
    let by_name = plan.by_name();
    for need in &step.needs {
        let _ = writeln!(out, "  needs    {need}  {}", &by_name[need.as_str()].key[..12]);
    }
    for input in &step.inputs {
        let _ = writeln!(out, "  reads    {}  {}", input.name(), &input.sha256()[..12]);
    }
    for output in &step.outputs {
        let _ = writeln!(out, "  makes    {output}");
    }
    for user in plan.steps.iter().filter(|user| user.needs.contains(&step.name)) {
        let _ = writeln!(out, "  used by  {}", user.name);
    }
    out
}
