//! What a restart brings back.

use super::kept::{Kept, durable, restarted, say};
use super::visit::Visit;
use serde_json::json;

#[test]
fn a_lower_limit_of_rooms_takes_none_from_a_session() {
    let mut world = durable(|_| {});
    let mut kept = Kept::default();
    let visit = Visit::new(&mut world, &["a", "b", "c"]);
    kept.take(&mut world);
    let mut world = restarted(2, &kept, |config| config.websocket.max_rooms = 1);
    let again = visit.again(&mut world);
    assert_eq!(again.first[0]["payload"]["rooms"], json!(["a", "b", "c"]));
    say(&mut world, "c", 1);
    assert_eq!(again.heard(&mut world), ["c 1"]);
    let wish = json!({"type": "subscribe", "rooms": ["d"]});
    world.send(again.peer, &wish);
    let denied = &world.messages(again.peer)[0]["payload"]["denied"];
    assert_eq!(denied[0]["room"], "d", "the limit holds for others");
}
