package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// applicationID marks the database as a journal of this package. It spells "ZJnl".
	applicationID = 0x5a4a6e6c
	// layoutVersion is the version of the tables.
	layoutVersion = 1

	createFrames = `CREATE TABLE frame (
		number   INTEGER PRIMARY KEY,
		source   TEXT    NOT NULL,
		ids      TEXT    NOT NULL,
		messages INTEGER NOT NULL,
		checksum INTEGER NOT NULL,
		raw      BLOB    NOT NULL
	)`
	// The acknowledged frames keep their ids, so that duplicates are recognized.
	createAcked = `CREATE TABLE settled (
		number   INTEGER PRIMARY KEY,
		source   TEXT    NOT NULL,
		ids      TEXT    NOT NULL,
		messages INTEGER NOT NULL
	)`

	insertSQL      = "INSERT INTO frame (number, source, ids, messages, checksum, raw) VALUES (?, ?, ?, ?, ?, ?)"
	insertAckedSQL = "INSERT INTO settled (number, source, ids, messages) VALUES (?, ?, ?, ?)"
	moveToAckedSQL = "INSERT INTO settled SELECT number, source, ids, messages FROM frame WHERE number = ?"
	deleteSQL      = "DELETE FROM frame WHERE number = ?"
	// For each source, the newest acknowledged frames stay, up to a number of messages.
	pruneAckedSQL = `DELETE FROM settled WHERE number IN (SELECT number FROM (SELECT number,
		sum(messages) OVER (PARTITION BY source ORDER BY number DESC) - messages AS newer FROM settled) WHERE newer >= ?)`
)

// store is the SQLite database of the journal. It holds the frames that do not fit in the
// write-ahead log and in memory, and the ids of acknowledged frames. Only one goroutine
// may use it at a time.
type store struct {
	path string
	db   *sql.DB
	conn *sql.Conn
	// sync is the current mode of commits, empty at first.
	sync syncMode

	insert, insertAcked, moveToAcked, delete *sql.Stmt
}

// syncMode says what a commit waits for. The values are those of PRAGMA synchronous.
type syncMode string

const (
	syncFull   syncMode = "FULL"   // until the data is on the disk
	syncNormal syncMode = "NORMAL" // until the operating system has the data
)

// seqRecord is a record with its sequence number, which the tables call number.
type seqRecord struct {
	seq    int64
	record *Record
}

// openStore opens or creates the database. Only the owner may read the file, because
// frames contain subscription keys.
func openStore(ctx context.Context, path string) (*store, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening the journal %q: %w", path, err)
	}
	// O_EXCL makes sure that an existing file is not opened here. Closing it would release
	// this process's lock on it, if another input uses the same journal (POSIX, fcntl).
	created, err := os.OpenFile(absolute, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user chose the path
	switch {
	case err == nil:
		err = created.Close()
	case errors.Is(err, os.ErrExist):
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w: create its directory, and make it writable", err)
	}
	s := &store{path: absolute}
	if err := s.open(ctx); err != nil {
		_ = s.close()
		return nil, s.wrapErr("opening", err)
	}
	return s, nil
}

func (s *store) open(ctx context.Context) error {
	var err error
	if s.db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: s.path}).EscapedPath()); err != nil {
		return err
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	for _, pragma := range []string{
		"locking_mode = EXCLUSIVE",     // keeps a second process out
		"auto_vacuum = INCREMENTAL",    // lets the file shrink
		"journal_mode = WAL",           // needs one sync for a commit, or none
		"journal_size_limit = 8388608", // of SQLite's own log, after a checkpoint
		"cache_size = -2000",           // 2 MB
		"temp_store = MEMORY",          // makes no temporary files
		"wal_autocheckpoint = 1000",    // pages
		"trusted_schema = OFF",         // because anybody can have written the file
		"cell_size_check = ON",         // finds corruption early
		"busy_timeout = 0",             // because the owner of the lock never releases it
	} {
		if err := s.exec(ctx, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	if err := s.prepareTables(ctx); err != nil {
		return err
	}
	for stmt, query := range map[**sql.Stmt]string{
		&s.insert: insertSQL, &s.insertAcked: insertAckedSQL, &s.moveToAcked: moveToAckedSQL, &s.delete: deleteSQL,
	} {
		if *stmt, err = s.conn.PrepareContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) exec(ctx context.Context, statement string) error {
	_, err := s.conn.ExecContext(ctx, statement)
	return err
}

// queryInt returns the only value of a query.
func (s *store) queryInt(ctx context.Context, query string) (n int64, err error) {
	err = s.conn.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// prepareTables creates the tables in a new file. It returns an error if the file is not
// a journal of this version. It takes the lock, too.
func (s *store) prepareTables(ctx context.Context) error {
	id, err := s.queryInt(ctx, "PRAGMA application_id")
	if err != nil {
		return err
	}
	tables, err := s.queryInt(ctx, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	version, err := s.queryInt(ctx, "PRAGMA user_version")
	switch {
	case err != nil:
		return err
	case id == 0 && tables == 0:
		return s.inTransaction(ctx, func() error {
			for _, statement := range []string{
				createFrames, createAcked,
				fmt.Sprintf("PRAGMA application_id = %d", applicationID),
				fmt.Sprintf("PRAGMA user_version = %d", layoutVersion),
			} {
				if err := s.exec(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
	case id != applicationID:
		return errors.New("the file is the database of another program: choose another path")
	case version != layoutVersion:
		return fmt.Errorf("the file has the layout %d of another version of this program: "+
			"run that version until the journal is empty, or choose another path", version)
	}
	// This update changes nothing and takes the lock.
	return s.inTransaction(ctx, func() error {
		return s.exec(ctx, fmt.Sprintf("PRAGMA user_version = %d", layoutVersion))
	})
}

// inTransaction runs do in a transaction. It does not use sql.Tx, which would prepare
// each statement again.
func (s *store) inTransaction(ctx context.Context, do func() error) error {
	err := s.exec(ctx, "BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	if err = do(); err == nil {
		err = s.exec(ctx, "COMMIT")
	}
	if err != nil {
		_ = s.exec(ctx, "ROLLBACK") // some errors have rolled it back already
	}
	return err
}

// tx is what one transaction does.
type tx struct {
	inserted     []seqRecord // go into the store
	ackedInStore []int64     // frames in the store that were acknowledged
	ackedInWAL   []seqRecord // frames that were acknowledged before they were in the store
}

// destination is where a round of the writer makes new frames durable.
type destination int

const (
	toWAL   destination = iota // a sync of the write-ahead log is enough
	toStore                    // the store inserts them
)

func (t *tx) destination() destination {
	if len(t.inserted) > 0 {
		return toStore
	}
	return toWAL
}

// commit commits a transaction. It syncs only if frames are inserted.
func (s *store) commit(ctx context.Context, t tx) error {
	if len(t.inserted)+len(t.ackedInStore)+len(t.ackedInWAL) == 0 {
		return nil
	}
	mode := syncNormal
	if len(t.inserted) > 0 {
		mode = syncFull
	}
	if err := s.setSync(ctx, mode); err != nil {
		return s.wrapErr("writing", err)
	}
	return s.wrapErr("writing", s.inTransaction(ctx, func() error { return s.apply(ctx, t) }))
}

// apply runs the statements of a transaction.
func (s *store) apply(ctx context.Context, t tx) error {
	for _, seq := range t.ackedInStore {
		for _, stmt := range []*sql.Stmt{s.moveToAcked, s.delete} {
			if _, err := stmt.ExecContext(ctx, seq); err != nil {
				return err
			}
		}
	}
	for _, r := range t.ackedInWAL {
		if err := insertRecord(ctx, s.insertAcked, r); err != nil {
			return err
		}
	}
	for _, r := range t.inserted {
		if err := insertRecord(ctx, s.insert, r, checksum(r.record.Raw), r.record.Raw); err != nil {
			return err
		}
	}
	return nil
}

// insertRecord inserts the columns that both tables have, followed by others.
func insertRecord(ctx context.Context, stmt *sql.Stmt, r seqRecord, others ...any) error {
	ids, err := json.Marshal(r.record.IDs)
	if err != nil {
		return err
	}
	columns := []any{r.seq, r.record.Source, string(ids), r.record.Messages}
	_, err = stmt.ExecContext(ctx, append(columns, others...)...)
	return err
}

// setSync sets what the next commits wait for.
func (s *store) setSync(ctx context.Context, mode syncMode) error {
	if s.sync == mode {
		return nil
	}
	err := s.exec(ctx, "PRAGMA synchronous = "+string(mode))
	if err == nil {
		s.sync = mode
	}
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant

// checksum returns the checksum of the concatenated parts.
func checksum(parts ...[]byte) uint32 {
	var sum uint32
	for _, part := range parts {
		sum = crc32.Update(sum, castagnoli, part)
	}
	return sum
}

// summary returns the sequence number of the newest frame, acknowledged or not, and
// counts the frames that are not acknowledged.
func (s *store) summary(ctx context.Context) (lastSeq int64, unacked Backlog, err error) {
	err = s.conn.QueryRowContext(ctx,
		"SELECT max((SELECT coalesce(max(number), 0) FROM frame), (SELECT coalesce(max(number), 0) FROM settled)), "+
			"count(*), coalesce(sum(messages), 0), coalesce(sum(length(raw)), 0) FROM frame",
	).Scan(&lastSeq, &unacked.Frames, &unacked.Messages, &unacked.Size)
	return lastSeq, unacked, s.wrapErr("reading", err)
}

// read calls each with the frames after a sequence number, in order, until it has read
// size bytes of frames.
func (s *store) read(
	ctx context.Context, after int64, size int, each func(seq int64, r Record) error,
) error {
	rows, err := s.conn.QueryContext(ctx,
		"SELECT number, source, ids, messages, checksum, raw FROM frame WHERE number > ? ORDER BY number", after)
	if err != nil {
		return s.wrapErr("reading", err)
	}
	defer rows.Close() //nolint:errcheck // nothing was written
	for size > 0 && rows.Next() {
		var seq, sum int64
		var r Record
		var ids string
		if err := rows.Scan(&seq, &r.Source, &ids, &r.Messages, &sum, &r.Raw); err != nil {
			return s.wrapErr("reading", err)
		}
		if err := json.Unmarshal([]byte(ids), &r.IDs); err != nil {
			return s.corruptErr(seq, err)
		}
		if int64(checksum(r.Raw)) != sum {
			return s.corruptErr(seq, errors.New("the checksum does not match the content"))
		}
		if err := each(seq, r); err != nil {
			return err
		}
		size -= len(r.Raw)
	}
	return s.wrapErr("reading", rows.Err())
}

// ackedMessages counts the acknowledged messages whose ids the store has.
func (s *store) ackedMessages(ctx context.Context) (int, error) {
	n, err := s.queryInt(ctx, "SELECT coalesce(sum(messages), 0) FROM settled")
	return int(n), s.wrapErr("reading", err)
}

// pruneAcked deletes the ids of acknowledged frames, except the newest of each source, up
// to this number of messages.
func (s *store) pruneAcked(ctx context.Context, messages int) error {
	_, err := s.conn.ExecContext(ctx, pruneAckedSQL, messages)
	return s.wrapErr("writing", err)
}

// latestIDs returns the ids of the newest messages of a source, acknowledged or not,
// oldest first. It reads frames, newest first, until it has at least limit ids and at
// least size bytes of frames that are not acknowledged.
func (s *store) latestIDs(ctx context.Context, source string, limit, size int) ([]string, error) {
	rows, err := s.conn.QueryContext(ctx, `SELECT ids, size FROM (
		SELECT number, source, ids, length(raw) AS size FROM frame UNION ALL
		SELECT number, source, ids, 0 FROM settled) WHERE source = ? ORDER BY number DESC`, source)
	if err != nil {
		return nil, s.wrapErr("reading", err)
	}
	defer rows.Close() //nolint:errcheck // nothing was written
	var newestFirst []string
	for (len(newestFirst) < limit || size > 0) && rows.Next() {
		var text string
		var frameSize int
		if err := rows.Scan(&text, &frameSize); err != nil {
			return nil, s.wrapErr("reading", err)
		}
		size -= frameSize
		var ids []string
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, s.wrapErr("reading", err)
		}
		slices.Reverse(ids)
		newestFirst = append(newestFirst, ids...)
	}
	slices.Reverse(newestFirst)
	return newestFirst, s.wrapErr("reading", rows.Err())
}

// shrink gives unused pages back to the disk, at most step of them. It does nothing while
// no more than spare pages are unused.
func (s *store) shrink(ctx context.Context, spare, step int64) error {
	unused, err := s.queryInt(ctx, "PRAGMA freelist_count")
	if err != nil || unused <= spare {
		return s.wrapErr("shrinking", err)
	}
	return s.wrapErr("shrinking", s.exec(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", min(unused, step))))
}

// close closes the database, as far as it is open, and releases the lock.
func (s *store) close() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{s.insert, s.insertAcked, s.moveToAcked, s.delete} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return s.wrapErr("closing", errors.Join(errs...))
}

// corruptErr returns the error of a frame that cannot be read.
func (s *store) corruptErr(seq int64, err error) error {
	return s.wrapErr(fmt.Sprintf("reading frame %d of", seq), corrupt(err))
}

func corrupt(err error) error {
	return fmt.Errorf("the file is corrupt (%w): move it away; the sqlite3 program can read what is intact", err)
}

// wrapErr says what was done to which journal. For known errors of SQLite, it adds the
// reason and what to do.
func (s *store) wrapErr(doing string, err error) error {
	var failure *sqlite.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &failure):
	case failure.Code()&0xff == sqlite3.SQLITE_BUSY:
		err = fmt.Errorf("another process or another input uses it (%w): give each its own path", err)
	case failure.Code()&0xff == sqlite3.SQLITE_CORRUPT || failure.Code()&0xff == sqlite3.SQLITE_NOTADB:
		err = corrupt(err)
	case failure.Code()&0xff == sqlite3.SQLITE_FULL:
		err = fmt.Errorf("the disk is full (%w): free some space", err)
	}
	return fmt.Errorf("%s the journal %s: %w", doing, s.path, err)
}
