//! Workspaces: shared documents in one order, and what each client of the data dialect lacks of them.
//!
//! Owns documents and order, and the conflated changes of readers that are behind. It encodes no frame and waits for no store: a
//! command returns a change with the message and the records that belong to it, and the engine publishes it once the records are
//! kept. The payload dialect never sees workspaces.
//!
//! | file | holds |
//! | --- | --- |
//! | [`documents`] | the documents, their order, and the commands that change them |
//! | [`feed`] | a change on its way to every client |
//! | [`news`] | changes that one reader lacks, conflated |

pub mod documents;
pub mod feed;
pub mod news;
