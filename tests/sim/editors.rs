//! Clients of the data dialect, who change workspaces at the same time. The first of them observes: its bytes take no time, and
//! what it hears is the order that all others must hear.

use super::board::Board;
use super::run::Run;
use super::screen::Screen;
use super::wish::{Wish, id_of};
use super::world::Heard;
use super::world::{Far, PeerId};
use joblight::internals::engine::Services;
use serde_json::{Value, json};

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    pub(crate) conn: Option<PeerId>,
    retry_at: u64,
    is_up: bool,
    /// After how many of the news it may be.
    places: Vec<usize>,
    /// It has heard something that says where it is.
    is_placed: bool,
    lists_asked: usize,
    /// What it shows, once it has heard a list.
    screen: Option<Screen>,
    /// It was behind: what it heard is not every news.
    is_conflated: bool,
    /// Messages that it has heard and said.
    pub(crate) heard: u64,
    pub(crate) said: u64,
}

impl Editor {
    /// It hears news, or a list. `may_lack`: its connection may have been too slow for some of them.
    fn hear(&mut self, board: &mut Board, message: &Value, may_lack: bool) {
        let is_list = message["type"] == "workspace.list";
        if is_list {
            assert!(
                self.lists_asked > 0 || may_lack,
                "nobody asked for {message}"
            );
            self.lists_asked = self.lists_asked.saturating_sub(1);
            self.screen.get_or_insert_default();
        }
        if let Some(screen) = &mut self.screen {
            screen.show(message);
        }
        if self.is_conflated {
            return;
        }
        if !self.is_placed {
            let first = self.places[0];
            self.places = (first..=board.len()).collect();
        }
        self.is_placed = true;
        // What is conflated may look like a list of another time.
        self.places = match is_list {
            true if may_lack => Vec::new(),
            true => board.places_of(&self.places, &message["data"]),
            false => board.places_after(&self.places, message),
        };
        self.is_conflated = self.places.is_empty();
        assert!(
            !self.is_conflated || may_lack,
            "a gap, or out of order: {message}"
        );
    }
}

impl Run {
    /// Whoever is not connected tries again.
    pub(crate) fn connect_editors(&mut self) {
        for index in 0..self.editors.len() {
            let editor = &self.editors[index];
            match editor.conn {
                Some(conn) if self.world.is_over(conn) => {
                    self.world.cut(conn, Far::Gone, true);
                    self.lose_editor(index);
                }
                None if editor.retry_at <= self.world.millis() => self.connect_editor(index),
                _ => {}
            }
        }
    }

    fn connect_editor(&mut self, index: usize) {
        let is_observer = index == 0;
        let conn = self.world.connect(Services::BOTH, is_observer);
        if is_observer {
            self.world.observe_at(conn);
        }
        self.upgrades += 1;
        self.editor_by_conn.insert(conn, index);
        self.editors[index] = Editor {
            conn: Some(conn),
            places: vec![self.board.len()],
            heard: self.editors[index].heard,
            said: self.editors[index].said,
            ..Editor::default()
        };
        self.ask_for_upgrade(conn, "/");
    }

    /// An editor says what it wishes; or asks for all there is.
    pub(crate) fn edit(&mut self) {
        let Some(index) = self.any_editor().filter(|index| self.editors[*index].is_up) else {
            return;
        };
        if self.dice.one_in(8) {
            return self.ask_for_list(index);
        }
        let wish = self.any_wish();
        self.wish(index, wish);
    }

    fn any_editor(&mut self) -> Option<usize> {
        let count = self.editors.len() as u64;
        (count > 0).then(|| self.dice.below(count) as usize)
    }

    fn wish(&mut self, index: usize, wish: Wish) {
        let conn = self.editors[index].conn.expect("connected");
        let message = wish.message();
        self.board.say(conn, wish);
        self.tell_server(index, &message);
    }

    fn ask_for_list(&mut self, index: usize) {
        self.editors[index].lists_asked += 1;
        self.tell_server(index, &json!({"type": "workspace.list"}));
    }

    fn tell_server(&mut self, index: usize, message: &Value) {
        let conn = self.editors[index].conn.expect("connected");
        self.trace(|| format!("editor {index} on {conn} says {message}"));
        self.editors[index].said += 1;
        self.world.tell(conn, message);
    }

    fn any_wish(&mut self) -> Wish {
        let number = self.next_mark();
        let ids = self.board.list().iter().map(id_of).map(str::to_owned);
        Wish::any(&mut self.dice, number, ids.collect())
    }

    /// An editor stops reading, or its connection breaks. The observer's never does.
    pub(crate) fn disturb_editor(&mut self) {
        let index = self.any_editor().filter(|index| *index > 0);
        let Some((index, conn)) = index.and_then(|index| Some((index, self.editors[index].conn?)))
        else {
            return;
        };
        if self.dice.one_in(2) {
            self.world.stop_reading(conn);
            self.stalled.push(conn);
        } else if self.world.own.plan.breaks {
            let far = self.dice.pick(&[Far::Gone, Far::Vanished]);
            let politely = self.dice.one_in(2);
            self.world.cut(conn, far, politely);
            self.lose_editor(index);
        }
    }

    /// An editor has lost its connection. What has reached it, it has heard.
    pub(crate) fn lose_editor(&mut self, index: usize) {
        self.listen();
        let pause = self.dice.pick(&[0, 50, 1_000, 8_000, 30_000]);
        let now = self.world.millis();
        let editor = &mut self.editors[index];
        (editor.is_up, editor.retry_at) = (false, now + pause);
        if let Some(conn) = editor.conn.take() {
            self.editor_by_conn.remove(&conn);
            self.board.lose(conn, now);
        }
        self.has_lost = true;
    }

    pub(crate) fn hear_editor(&mut self, index: usize, conn: PeerId, heard: Heard) {
        self.trace(|| format!("editor {index} on {conn} hears {heard:?}"));
        let editor = &mut self.editors[index];
        match heard {
            Heard::Upgraded => {
                editor.is_up = true;
                self.ask_for_list(index);
            }
            Heard::Message(message) => {
                editor.heard += 1;
                match message["type"].as_str().expect("a type") {
                    "error" => self.hear_error(&message),
                    "disconnected" => {}
                    kind => {
                        if index == 0 && kind != "workspace.list" {
                            let number = self.editors[0].heard - self.observed_before;
                            self.board.publish(&message, number as usize);
                        }
                        let may_lack = index > 0 && self.world.conns[conn].was_blocked;
                        self.editors[index].hear(&mut self.board, &message, may_lack);
                    }
                }
            }
            Heard::Close(code) => {
                let is_told = code == 1001 && self.world.own.ending.has_begun;
                assert!(
                    is_told || index > 0 && [4408, 4430].contains(&code),
                    "editor {index} closed with {code}"
                );
                self.world.cut(conn, Far::Gone, true);
                self.lose_editor(index);
            }
            Heard::Batch(_) | Heard::Ping | Heard::Pong => unreachable!("no news"),
            Heard::Answer(..) => {
                assert!(self.world.own.ending.has_begun, "refused: {heard:?}");
                self.world.cut(conn, Far::Gone, true);
                self.lose_editor(index);
            }
        }
    }

    fn hear_error(&mut self, message: &Value) {
        let Some(number) = message["replyTo"].as_u64() else {
            // The change is made, but not kept.
            return assert!(self.world.own.plan.fails, "{message}");
        };
        let code = message["code"].as_str().expect("a code");
        self.board.refuse(number, code, self.world.millis());
    }

    /// The workspaces as the engine has them now.
    pub(crate) fn workspaces(&self) -> Value {
        let list = self.world.engine.inspect().workspace_list();
        serde_json::from_str(&list).expect("JSON")
    }

    /// The process has begun another life.
    pub(crate) fn begin_editors_anew(&mut self, crashed_at: u64) {
        let kept = self.world.own.kept;
        self.board.survive(&self.workspaces(), kept, crashed_at);
        for index in 0..self.editors.len() {
            if self.editors[index].conn.is_some() {
                self.lose_editor(index);
            }
        }
        if let Some(observer) = self.editors.first_mut() {
            observer.retry_at = 0;
            self.observed_before = observer.heard;
        }
        self.connect_editors();
    }

    /// Everybody knows everything; and one after another, wishes do exactly what they should.
    pub(crate) fn check_editors(&mut self) {
        self.board.check_answers(self.world.millis());
        for (index, editor) in self.editors.iter().enumerate() {
            assert!(
                editor.is_up && editor.lists_asked == 0,
                "editor {index} is not back"
            );
            let is_current = match (editor.is_conflated, &editor.screen) {
                (true, Some(screen)) => screen.is_like(self.board.list()),
                (is_conflated, _) => !is_conflated && editor.places.contains(&self.board.len()),
            };
            assert!(is_current, "editor {index} is behind: {editor:?}");
        }
        for _ in 0..10 {
            let Some(index) = self.any_editor() else {
                return;
            };
            let wish = self.any_wish();
            let (fault, before) = (self.board.fault(&wish), self.board.len());
            self.wish(index, wish.clone());
            self.world.run_for(1_000);
            self.listen();
            let is_done = self.board.len() == before + 1;
            assert_eq!(is_done, fault.is_none(), "{wish:?}");
            self.board.check_answers(self.world.millis());
        }
        if self.world.own.plan.stores && !self.editors.is_empty() {
            assert!(
                self.world.own.kept == self.world.observed(),
                "news are out that are not kept"
            );
        }
    }

    /// The observer deletes all workspaces.
    pub(crate) fn delete_workspaces(&mut self) {
        let ids: Vec<String> = self
            .board
            .list()
            .iter()
            .map(id_of)
            .map(str::to_owned)
            .collect();
        for id in ids {
            let wish = Wish {
                number: self.next_mark(),
                kind: "delete",
                fields: json!({"id": id}),
            };
            self.wish(0, wish);
        }
    }
}
