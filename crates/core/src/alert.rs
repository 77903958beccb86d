//! What needs a person's attention.

words! {
    /// What happened that somebody must look at.
    pub enum AlertKind {
        /// A payment page that payers get is not as it was made.
        PageDiffers = "page_differs",
        /// A browser reported that something in a payment page tried what the page forbids.
        PageViolated = "page_violated",
    }
}
