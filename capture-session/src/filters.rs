//! The filter compiler of this process.

use std::sync::OnceLock;

use capture_filter::{CompiledFilter, Compiler, FilterError};
use capture_types::FilterSpec;

static COMPILER: OnceLock<Compiler> = OnceLock::new();

/// Sets whether host names in expressions are resolved. To be called before the first filter is compiled;
/// the default is not to resolve them.
pub fn resolve_names(resolve: bool) {
    // A second call has no effect: the setting is made once.
    let _ = COMPILER.set(Compiler::new(resolve));
}

/// Compiles in this process and without limits, for programs that cannot be run again as a compiler.
pub fn compile_in_this_process() {
    // A second call has no effect.
    let _ = COMPILER.set(Compiler::in_this_process());
}

/// The compiler. It blocks; asynchronous callers use `compile`.
pub fn compiler() -> &'static Compiler {
    COMPILER.get_or_init(|| Compiler::new(false))
}

/// Compiles a filter without blocking a thread of the runtime.
pub(crate) async fn compile(spec: FilterSpec) -> Result<CompiledFilter, FilterError> {
    if compiler().remembers(&spec) {
        return compiler().compile(&spec);
    }
    tokio::task::spawn_blocking(move || compiler().compile(&spec))
        .await
        .unwrap_or_else(|error| Err(FilterError::Compiler(error.to_string())))
}
