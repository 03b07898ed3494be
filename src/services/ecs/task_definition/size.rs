//! CPU and memory of a task: how they are written, and which pairs Fargate has.

use api::ecs as api;

use crate::{Result, client};

/// The CPU units that a task on EC2 may ask for.
const EC2_CPU_UNITS: std::ops::RangeInclusive<u32> = 128..=196_608;
/// From this many CPU units on Fargate has Windows sizes, and up to that many.
const WINDOWS_CPU_UNITS: std::ops::RangeInclusive<u32> = 1024..=4096;

/// The memory that goes with a CPU size on Fargate.
struct FargateSize {
    cpu_units: u32,
    memory_mib: Memory,
}

enum Memory {
    OneOf(&'static [u32]),
    Steps { min: u32, max: u32, step: u32 },
}

/// The sizes of Fargate: RegisterTaskDefinition's documentation, and for 32 vCPU the newer developer guide.
const FARGATE_SIZES: &[FargateSize] = &[
    FargateSize { cpu_units: 256, memory_mib: Memory::OneOf(&[512, 1024, 2048]) },
    FargateSize { cpu_units: 512, memory_mib: Memory::Steps { min: 1024, max: 4096, step: 1024 } },
    FargateSize { cpu_units: 1024, memory_mib: Memory::Steps { min: 2048, max: 8192, step: 1024 } },
    FargateSize { cpu_units: 2048, memory_mib: Memory::Steps { min: 4096, max: 16_384, step: 1024 } },
    FargateSize { cpu_units: 4096, memory_mib: Memory::Steps { min: 8192, max: 30_720, step: 1024 } },
    FargateSize { cpu_units: 8192, memory_mib: Memory::Steps { min: 16_384, max: 61_440, step: 4096 } },
    FargateSize { cpu_units: 16_384, memory_mib: Memory::Steps { min: 32_768, max: 122_880, step: 8192 } },
    FargateSize { cpu_units: 32_768, memory_mib: Memory::OneOf(&[61_440, 122_880, 249_856]) },
];

/// Parses a task's `cpu`: units, or `1 vCPU`.
pub(crate) fn parse_cpu(text: &str) -> Result<u32> {
    parse(text, "vcpu")
        .filter(|units| EC2_CPU_UNITS.contains(units))
        .ok_or_else(|| client("Invalid 'cpu' setting for task."))
}

/// Parses a task's `memory`: MiB, or `1 GB`.
pub(crate) fn parse_memory(text: &str) -> Result<u32> {
    parse(text, "gb").filter(|mib| *mib > 0).ok_or_else(|| client("Invalid 'memory' setting for task."))
}

/// Returns the task's size in CPU units and MiB if Fargate has it.
pub(super) fn fargate(cpu: Option<u32>, memory: Option<u32>, family: Option<&api::OSFamily>) -> Result<(u32, u32)> {
    let cpu = cpu.ok_or_else(|| client("Fargate requires that 'cpu' be defined at the task level."))?;
    let memory = memory.ok_or_else(|| client("Fargate requires that 'memory' be defined at the task level."))?;
    let is_windows = family.is_some_and(|family| family.as_str().starts_with("WINDOWS"));
    let size = FARGATE_SIZES.iter().find(|size| size.cpu_units == cpu);
    let has_size = size.is_some_and(|size| match size.memory_mib {
        Memory::OneOf(sizes) => sizes.contains(&memory),
        Memory::Steps { min, max, step } => (min..=max).contains(&memory) && (memory - min) % step == 0,
    });
    if !has_size || (is_windows && !WINDOWS_CPU_UNITS.contains(&cpu)) {
        return Err(client(format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS \
             documentation for the valid values."
        )));
    }
    Ok((cpu, memory))
}

/// Parses a whole number, or a decimal number of `unit`s of 1,024 each.
fn parse(text: &str, unit: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let Some(number) = text.strip_suffix(unit) else { return text.parse().ok() };
    let thousandths = parse_thousandths(number.trim_end())?;
    let scaled = thousandths.checked_mul(1024)?;
    (scaled % 1000 == 0).then_some(scaled / 1000)
}

/// Parses `1`, `.25` or `0.5` into thousandths.
fn parse_thousandths(number: &str) -> Option<u32> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty()) && fraction.len() <= 3;
    let is_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !(is_number && is_digits) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u32>().ok()? };
    let fraction = format!("{fraction:0<3}").parse::<u32>().ok()?;
    whole.checked_mul(1000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_units_and_in_words() {
        for (text, units) in [
            ("256", Some(256)),
            ("1 vCPU", Some(1024)),
            ("1vcpu", Some(1024)),
            (".25 vCPU", Some(256)),
            ("0.5 vCPU", Some(512)),
            ("16 vCPU", Some(16_384)),
            ("", None),
            ("vCPU", None),
            (". vCPU", None),
            ("-1", None),
            ("127", None),
            ("0.3 vCPU", None),
            ("256.0", None),
            ("99999999999 vCPU", None),
            ("196609", None),
        ] {
            assert_eq!(parse_cpu(text).ok(), units, "{text}");
        }
        for (text, mib) in [("512", Some(512)), ("1GB", Some(1024)), ("0.5 GB", Some(512)), ("0", None), ("1 MB", None)]
        {
            assert_eq!(parse_memory(text).ok(), mib, "{text}");
        }
    }

    #[test]
    fn fargate_has_these_sizes_and_no_others() {
        for (cpu, memory, exists) in [
            (256, 512, true),
            (256, 1024, true),
            (256, 2048, true),
            (256, 1536, false),
            (256, 4096, false),
            (512, 512, false),
            (512, 1024, true),
            (512, 4096, true),
            (512, 5120, false),
            (1024, 1024, false),
            (1024, 8192, true),
            (2048, 16_384, true),
            (2048, 17_408, false),
            (4096, 30_720, true),
            (4096, 31_744, false),
            (8192, 16_384, true),
            (8192, 18_432, false),
            (8192, 61_440, true),
            (16_384, 32_768, true),
            (16_384, 36_864, false),
            (16_384, 122_880, true),
            (32_768, 61_440, true),
            (32_768, 65_536, false),
            (32_768, 249_856, true),
            (300, 512, false),
        ] {
            assert_eq!(fargate(Some(cpu), Some(memory), None).is_ok(), exists, "{cpu} {memory}");
        }
        let windows = api::OSFamily::from("WINDOWS_SERVER_2022_CORE");
        assert!(fargate(Some(512), Some(1024), Some(&windows)).is_err());
        assert!(fargate(Some(1024), Some(2048), Some(&windows)).is_ok());
        assert!(fargate(Some(8192), Some(16_384), Some(&windows)).is_err());
    }
}
