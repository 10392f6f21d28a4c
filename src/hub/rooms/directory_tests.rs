//! The directory against a plain model.

use crate::hub::keys::ClientKey;
use crate::hub::keys::ConnectionId;
use crate::hub::rooms::directory::{Directory, Full};
use crate::hub::rooms::viewer_rooms::JoinedBy;
use crate::hub::settings::HubSettings;
use crate::wire::message::Dialect;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn connection(index: u32) -> ConnectionId {
    ConnectionId {
        index,
        generation: 0,
    }
}

#[test]
fn a_client_is_found_by_its_public_name_while_it_is_here() {
    let mut directory = Directory::new([1, 2]);
    let key = directory.attach(connection(0), Dialect::default(), 0, 0x123456, 0);
    let id = directory.client(key).id.to_string();
    assert_eq!(directory.client_by_id(&id), Some(key));
    directory.detach(key);
    assert_eq!(directory.client_by_id(&id), None);
    assert_eq!(directory.client_by_id("client_zz"), None);
}

#[test]
fn keys_kept_across_removal_and_reuse_of_their_slots_find_nothing() {
    let mut directory = Directory::new([1, 2]);
    let gone = directory.attach(connection(0), Dialect::default(), 0, 1, 0);
    let left = directory
        .join(gone, "a", JoinedBy::Viewer, &HubSettings::unlimited())
        .unwrap()
        .room;
    directory.detach(gone);
    let key = directory.attach(connection(1), Dialect::default(), 0, 2, 0);
    let room = directory
        .join(key, "b", JoinedBy::Viewer, &HubSettings::unlimited())
        .unwrap()
        .room;
    assert_eq!(
        (key.0.slot(), room.0.slot()),
        (gone.0.slot(), left.0.slot())
    );
    assert!(!directory.has_client(gone) && directory.find_room(left).is_none());
    assert!(directory.has_client(key) && directory.find_room(room).is_some());
}

#[test]
fn limits_hold() {
    let mut directory = Directory::new([1, 2]);
    let mut settings = HubSettings::unlimited();
    (settings.max_rooms, settings.max_rooms_per_client) = (2, 2);
    let key = directory.attach(connection(0), Dialect::default(), 0, 1, 0);
    assert!(
        directory
            .join(key, "a", JoinedBy::Viewer, &settings)
            .is_ok()
    );
    assert!(
        directory
            .join(key, "b", JoinedBy::Viewer, &settings)
            .is_ok()
    );
    assert_eq!(
        directory.join(key, "c", JoinedBy::Viewer, &settings),
        Err(Full::Memberships)
    );
    settings.max_rooms_per_client = 0;
    assert_eq!(
        directory.join(key, "c", JoinedBy::Viewer, &settings),
        Err(Full::Rooms)
    );
    assert!(
        !directory
            .join(key, "a", JoinedBy::Viewer, &settings)
            .unwrap()
            .is_new
    );
}

proptest! {
    #[test]
    fn memberships_agree_with_a_plain_model(steps in prop::collection::vec((0u8..6, 0usize..6, 0u8..5), 1..200)) {
        let mut directory = Directory::new([3, 4]);
        let mut keys: BTreeMap<usize, ClientKey> = BTreeMap::new();
        let mut model: BTreeSet<(usize, u8)> = BTreeSet::new();
        let mut away: BTreeSet<usize> = BTreeSet::new();
        // Rooms of viewers that those who are away are to be in again.
        let mut names: BTreeSet<(usize, u8)> = BTreeSet::new();
        for (action, client, room) in steps {
            let name = format!("room{room}");
            let entry = if room < 3 { JoinedBy::Viewer } else { JoinedBy::Task };
            match (action, keys.get(&client).copied()) {
                (0, None) => {
                    keys.insert(client, directory.attach(connection(client as u32), Dialect::default(), 0, 9, 0));
                }
                (1, Some(key)) if !away.contains(&client) => {
                    let fresh = directory.join(key, &name, entry, &HubSettings::unlimited()).unwrap().is_new;
                    prop_assert_eq!(fresh, model.insert((client, room)));
                }
                (2, Some(key)) => prop_assert_eq!(directory.leave(key, &name), model.remove(&(client, room))),
                (3, Some(key)) => {
                    directory.detach(key);
                    keys.remove(&client);
                    model.retain(|(member, _)| *member != client);
                    names.retain(|(member, _)| *member != client);
                    away.remove(&client);
                }
                (4, Some(key)) => {
                    directory.set_client_away(key, 0);
                    away.insert(client);
                    let left = model.iter().filter(|(member, room)| *member == client && *room < 3);
                    names.extend(left);
                    model.retain(|(member, room)| *member != client || *room >= 3);
                }
                (5, Some(key)) => {
                    directory.adopt(key, connection(client as u32), Dialect::default());
                    away.remove(&client);
                    for kept in directory.take_names(key) {
                        let entered = directory.join(key, &kept.name, JoinedBy::Viewer, &HubSettings::unlimited()).unwrap().room;
                        directory.continue_at(key, entered, &kept);
                        let number = kept.name.trim_start_matches("room").parse().unwrap();
                        prop_assert!(names.remove(&(client, number)));
                        model.insert((client, number));
                    }
                    prop_assert!(names.iter().all(|(member, _)| *member != client));
                }
                _ => {}
            }
            directory.check_invariants();
            let here = model.iter().filter(|(member, _)| !away.contains(member));
            prop_assert_eq!(directory.memberships(), here.count());
            let rooms: BTreeSet<u8> = model.iter().map(|(_, room)| *room).collect();
            prop_assert_eq!(directory.rooms().len(), rooms.len(), "empty rooms are forgotten");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Long lists are not read from end to end: every client begins in many rooms, and every room with many members.
    #[test]
    fn memberships_in_long_lists_are_found(steps in prop::collection::vec((0usize..40, 0u8..60), 1..1500)) {
        let mut directory = Directory::new([3, 4]);
        let clients: Vec<ClientKey> = (0..40)
            .map(|client| directory.attach(connection(client), Dialect::default(), 0, 9, 0))
            .collect();
        let mut model: BTreeSet<(usize, u8)> = BTreeSet::new();
        let all = (0..40).flat_map(|client| (0..60).map(move |room| (client, room)));
        for (client, room) in all.chain(steps) {
            let name = format!("room{room}");
            if model.remove(&(client, room)) {
                prop_assert!(directory.leave(clients[client], &name));
            } else {
                model.insert((client, room));
                prop_assert!(directory.join(clients[client], &name, JoinedBy::Viewer, &HubSettings::unlimited()).unwrap().is_new);
            }
        }
        directory.check_invariants();
        for (client, key) in clients.iter().enumerate() {
            for room in 0..60 {
                let found = directory.find(&format!("room{room}"));
                let member = found.and_then(|found| directory.membership(*key, found));
                prop_assert_eq!(member.map(|member| member.room), found.filter(|_| model.contains(&(client, room))));
            }
            directory.detach(*key);
        }
        directory.check_invariants();
    }
}
