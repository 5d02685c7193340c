//! The API follows the conventions that `buf lint` checks, and our own: everything is documented.

#![cfg(test)]

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(capture_proto::v1::FILE_DESCRIPTOR_SET).expect("decodes");
    set.file
        .into_iter()
        .filter(|file| file.package() == "capture.v1")
        .collect()
}

/// The documented paths of a descriptor: field numbers of descriptor.proto, and indices.
fn documented(file: &FileDescriptorProto) -> BTreeSet<Vec<i32>> {
    let locations = file
        .source_code_info
        .as_ref()
        .expect("source info")
        .location
        .iter();
    locations
        .filter(|location| !location.leading_comments().trim().is_empty())
        .map(|location| location.path.clone())
        .collect()
}

fn index(at: usize) -> i32 {
    i32::try_from(at).expect("small")
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}

#[test]
fn every_message_field_value_and_method_is_documented() {
    let mut checked = 0;
    for file in files() {
        let documented = documented(&file);
        let mut check = |path: Vec<i32>, what: &str| {
            assert!(
                documented.contains(&path),
                "{}: {what} is not documented",
                file.name()
            );
            checked += 1;
        };
        for (m, message) in file.message_type.iter().enumerate() {
            check(vec![4, index(m)], message.name());
            for (f, field) in message.field.iter().enumerate() {
                check(vec![4, index(m), 2, index(f)], field.name());
            }
        }
        for (e, values) in file.enum_type.iter().enumerate() {
            check(vec![5, index(e)], values.name());
            for (v, value) in values.value.iter().enumerate() {
                check(vec![5, index(e), 2, index(v)], value.name());
            }
        }
        for (s, service) in file.service.iter().enumerate() {
            check(vec![6, index(s)], service.name());
            for (m, method) in service.method.iter().enumerate() {
                check(vec![6, index(s), 2, index(m)], method.name());
            }
        }
    }
    assert!(checked > 200, "only {checked} were found");
}

#[test]
fn each_method_has_a_request_and_a_response_of_its_own() {
    for file in files() {
        for service in &file.service {
            assert!(service.name().ends_with("Service"));
            for method in &service.method {
                let name = method.name();
                assert_eq!(method.input_type(), format!(".capture.v1.{name}Request"));
                assert_eq!(method.output_type(), format!(".capture.v1.{name}Response"));
            }
        }
    }
}

#[test]
fn enum_values_begin_with_the_enum_and_zero_says_nothing() {
    for file in files() {
        for values in &file.enum_type {
            let prefix = format!("{}_", snake(values.name()));
            for value in &values.value {
                assert!(value.name().starts_with(&prefix), "{}", value.name());
            }
            assert_eq!(values.value[0].number(), 0);
            assert_eq!(values.value[0].name(), format!("{prefix}UNSPECIFIED"));
        }
    }
}
