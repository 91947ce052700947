//! Opens a finished wheel and proves what it holds. May use `wheel`; sees no plan and no engine.
