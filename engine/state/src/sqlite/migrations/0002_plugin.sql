-- Which plugin acted: the SHA-256 of its file. Released: never edited, see migrations.rs.

ALTER TABLE events ADD COLUMN plugin TEXT; -- NULL for rotators that come with the program, and for what a person ordered
