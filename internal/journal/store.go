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
	// application marks the file as one of this package ("ZJnl"), version is of its
	// layout.
	application = 0x5a4a6e6c
	version     = 1

	frames = `CREATE TABLE frame (
		number   INTEGER PRIMARY KEY,
		source   TEXT    NOT NULL,
		ids      TEXT    NOT NULL,
		messages INTEGER NOT NULL,
		checksum INTEGER NOT NULL,
		raw      BLOB    NOT NULL
	)`
	// What was settled is remembered by its ids.
	ackedBuckets = `CREATE TABLE settled (
		number   INTEGER PRIMARY KEY,
		source   TEXT    NOT NULL,
		ids      TEXT    NOT NULL,
		messages INTEGER NOT NULL
	)`

	insertSQL      = "INSERT INTO frame (number, source, ids, messages, checksum, raw) VALUES (?, ?, ?, ?, ?, ?)"
	insertAckedSQL = "INSERT INTO settled (number, source, ids, messages) VALUES (?, ?, ?, ?)"
	moveToAckedSQL = "INSERT INTO settled SELECT number, source, ids, messages FROM frame WHERE number = ?"
	removeSQL      = "DELETE FROM frame WHERE number = ?"
	// Of each source the newest settlements stay, up to so many messages.
	pruneAckedSQL = `DELETE FROM settled WHERE number IN (SELECT number FROM (SELECT number,
		sum(messages) OVER (PARTITION BY source ORDER BY number DESC) - messages AS newer FROM settled) WHERE newer >= ?)`
)

// store is the database. It is used by one goroutine at a time.
type store struct {
	path     string
	db       *sql.DB
	conn     *sql.Conn
	syncMode string // of a commit, see setLevel

	insert, insertAcked, moveToAcked, remove *sql.Stmt
}

// seqRecord is a record with its place in the order.
type seqRecord struct {
	seq    int64
	record *Record
}

// openStore opens the file, or makes it for its owner's eyes only: frames hold the
// keys of subscriptions.
func openStore(ctx context.Context, path string) (*store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening the journal %q: %w", path, err)
	}
	// One that exists is not touched: to close it would give up this process's lock, if
	// another input has it (POSIX, fcntl).
	made, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user names it
	switch {
	case err == nil:
		err = made.Close()
	case errors.Is(err, os.ErrExist):
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w: its directory must be there, and be writable", err)
	}
	f := &store{path: path}
	if err := f.open(ctx); err != nil {
		_ = f.close()
		return nil, f.wrapErr("opening", err)
	}
	return f, nil
}

func (f *store) open(ctx context.Context) error {
	var err error
	if f.db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: f.path}).EscapedPath()); err != nil {
		return err
	}
	if f.conn, err = f.db.Conn(ctx); err != nil {
		return err
	}
	for _, pragma := range []string{
		"locking_mode = EXCLUSIVE",     // against a second process
		"auto_vacuum = INCREMENTAL",    // so that the file can shrink
		"journal_mode = WAL",           // one sync a commit, or none
		"journal_size_limit = 8388608", // of that file, once it was used up
		"cache_size = -2000",           // 2 MB
		"temp_store = MEMORY",          // one file is enough
		"wal_autocheckpoint = 1000",    // pages
		"trusted_schema = OFF",         // the file may be anybody's
		"cell_size_check = ON",         // and broken
		"busy_timeout = 0",             // who holds the lock keeps it
	} {
		if err := f.exec(ctx, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	if err := f.prepareLayout(ctx); err != nil {
		return err
	}
	for to, statement := range map[**sql.Stmt]string{
		&f.insert: insertSQL, &f.insertAcked: insertAckedSQL, &f.moveToAcked: moveToAckedSQL, &f.remove: removeSQL,
	} {
		if *to, err = f.conn.PrepareContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (f *store) exec(ctx context.Context, statement string) error {
	_, err := f.conn.ExecContext(ctx, statement)
	return err
}

func (f *store) nextSeq(ctx context.Context, query string) (n int64, err error) {
	err = f.conn.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// prepareLayout makes the table in a new file and checks what another file is. It
// takes the lock.
func (f *store) prepareLayout(ctx context.Context) error {
	app, err := f.nextSeq(ctx, "PRAGMA application_id")
	if err != nil {
		return err
	}
	tables, err := f.nextSeq(ctx, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	made, err := f.nextSeq(ctx, "PRAGMA user_version")
	switch {
	case err != nil:
		return err
	case app == 0 && tables == 0:
		return f.transaction(ctx, func() error {
			for _, s := range []string{
				frames, ackedBuckets,
				fmt.Sprintf("PRAGMA application_id = %d", application),
				fmt.Sprintf("PRAGMA user_version = %d", version),
			} {
				if err := f.exec(ctx, s); err != nil {
					return err
				}
			}
			return nil
		})
	case app != application:
		return errors.New("it is the database of another program: name another file")
	case made != version:
		return fmt.Errorf("it has the layout %d of another version of this program, which is not known here", made)
	}
	// An update that changes nothing, for the lock.
	return f.transaction(ctx, func() error {
		return f.exec(ctx, fmt.Sprintf("PRAGMA user_version = %d", version))
	})
}

// transaction does something whole or not at all. It uses no sql.Tx, for that would
// prepare each statement again.
func (f *store) transaction(ctx context.Context, do func() error) error {
	err := f.exec(ctx, "BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	if err = do(); err == nil {
		err = f.exec(ctx, "COMMIT")
	}
	if err != nil {
		_ = f.exec(ctx, "ROLLBACK") // which some errors have done already
	}
	return err
}

// tx is what one commit does, all or nothing.
type tx struct {
	inserted   []seqRecord // are put into the file
	acked      []int64     // are in the file, and settled
	ackedInWAL []seqRecord // are settled, and never were in the file
}

// commit makes a change.
func (f *store) commit(ctx context.Context, c tx) error {
	if len(c.inserted)+len(c.acked)+len(c.ackedInWAL) == 0 {
		return nil
	}
	level := written
	if len(c.inserted) > 0 {
		level = synced
	}
	if err := f.setSync(ctx, level); err != nil {
		return f.wrapErr("writing", err)
	}
	return f.wrapErr("writing", f.transaction(ctx, func() error { return f.apply(ctx, c) }))
}

// apply makes a change within a transaction.
func (f *store) apply(ctx context.Context, c tx) error {
	for _, number := range c.acked {
		for _, s := range []*sql.Stmt{f.moveToAcked, f.remove} {
			if _, err := s.ExecContext(ctx, number); err != nil {
				return err
			}
		}
	}
	for _, p := range c.ackedInWAL {
		if err := insertRecord(ctx, f.insertAcked, p); err != nil {
			return err
		}
	}
	for _, a := range c.inserted {
		if err := insertRecord(ctx, f.insert, a, checksum(a.record.Raw), a.record.Raw); err != nil {
			return err
		}
	}
	return nil
}

// insertRecord puts into a table what both have in common, and more.
func insertRecord(ctx context.Context, s *sql.Stmt, n seqRecord, more ...any) error {
	ids, err := json.Marshal(n.record.IDs)
	if err != nil {
		return err
	}
	common := []any{n.seq, n.record.Source, string(ids), n.record.Messages}
	_, err = s.ExecContext(ctx, append(common, more...)...)
	return err
}

// The levels of a commit: it waits until the disk has it, or until the system has.
const (
	synced  = "FULL"
	written = "NORMAL"
)

// setSync sets the level of the commits from now on.
func (f *store) setSync(ctx context.Context, level string) error {
	if f.syncMode == level {
		return nil
	}
	err := f.exec(ctx, "PRAGMA synchronous = "+level)
	if err == nil {
		f.syncMode = level
	}
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant

// checksum is that of parts one behind the other.
func checksum(parts ...[]byte) uint32 {
	var sum uint32
	for _, part := range parts {
		sum = crc32.Update(sum, castagnoli, part)
	}
	return sum
}

// summary returns the number of the newest record, and what there is.
func (f *store) summary(ctx context.Context) (last int64, kept Backlog, err error) {
	err = f.conn.QueryRowContext(ctx,
		"SELECT max((SELECT coalesce(max(number), 0) FROM frame), (SELECT coalesce(max(number), 0) FROM settled)), "+
			"count(*), coalesce(sum(messages), 0), coalesce(sum(length(raw)), 0) FROM frame",
	).Scan(&last, &kept.Frames, &kept.Messages, &kept.Size)
	return last, kept, f.wrapErr("reading", err)
}

// read hands out records after a number, in order, until they have a size together
// or there are no more.
func (f *store) read(
	ctx context.Context, after int64, size int, each func(number int64, r Record) error,
) error {
	rows, err := f.conn.QueryContext(ctx,
		"SELECT number, source, ids, messages, checksum, raw FROM frame WHERE number > ? ORDER BY number", after)
	if err != nil {
		return f.wrapErr("reading", err)
	}
	defer rows.Close() //nolint:errcheck // it was only read from
	for size > 0 && rows.Next() {
		var number, sum int64
		var r Record
		var ids string
		if err := rows.Scan(&number, &r.Source, &ids, &r.Messages, &sum, &r.Raw); err != nil {
			return f.wrapErr("reading", err)
		}
		if err := json.Unmarshal([]byte(ids), &r.IDs); err != nil {
			return f.corruptErr(number, err)
		}
		if int64(checksum(r.Raw)) != sum {
			return f.corruptErr(number, errors.New("the checksum is not that of the content"))
		}
		if err := each(number, r); err != nil {
			return err
		}
		size -= len(r.Raw)
	}
	return f.wrapErr("reading", rows.Err())
}

// ackedMessages counts the messages that are remembered.
func (f *store) ackedMessages(ctx context.Context) (int, error) {
	n, err := f.nextSeq(ctx, "SELECT coalesce(sum(messages), 0) FROM settled")
	return int(n), f.wrapErr("reading", err)
}

// pruneAcked keeps the newest settlements of each source, of so many messages.
func (f *store) pruneAcked(ctx context.Context, messages int) error {
	_, err := f.conn.ExecContext(ctx, pruneAckedSQL, messages)
	return f.wrapErr("writing", err)
}

// latestIDs returns the ids of the newest records of a source, settled or not, the
// oldest first: so many at least, and all of frames that have a size together.
func (f *store) latestIDs(ctx context.Context, source string, limit, size int) ([]string, error) {
	rows, err := f.conn.QueryContext(ctx, `SELECT ids, size FROM (
		SELECT number, source, ids, length(raw) AS size FROM frame UNION ALL
		SELECT number, source, ids, 0 FROM settled) WHERE source = ? ORDER BY number DESC`, source)
	if err != nil {
		return nil, f.wrapErr("reading", err)
	}
	defer rows.Close() //nolint:errcheck // it was only read from
	var newestFirst []string
	for (len(newestFirst) < limit || size > 0) && rows.Next() {
		var text string
		var frame int
		if err := rows.Scan(&text, &frame); err != nil {
			return nil, f.wrapErr("reading", err)
		}
		size -= frame
		var ids []string
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, f.wrapErr("reading", err)
		}
		slices.Reverse(ids)
		newestFirst = append(newestFirst, ids...)
	}
	slices.Reverse(newestFirst)
	return newestFirst, f.wrapErr("reading", rows.Err())
}

// shrink gives unused pages beyond so many back to the disk, a number of them at
// once.
func (f *store) shrink(ctx context.Context, spare, step int64) error {
	unused, err := f.nextSeq(ctx, "PRAGMA freelist_count")
	if err != nil || unused <= spare {
		return f.wrapErr("shrinking", err)
	}
	return f.wrapErr("shrinking", f.exec(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", min(unused, step))))
}

// close gives the file up.
func (f *store) close() error {
	var errs []error
	for _, s := range []*sql.Stmt{f.insert, f.insertAcked, f.moveToAcked, f.remove} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if f.conn != nil {
		errs = append(errs, f.conn.Close())
	}
	if f.db != nil {
		errs = append(errs, f.db.Close())
	}
	return f.wrapErr("closing", errors.Join(errs...))
}

// corruptErr says which record cannot be read.
func (f *store) corruptErr(number int64, err error) error {
	return f.wrapErr(fmt.Sprintf("reading frame %d of", number), fmt.Errorf("%w: %w", errCorrupt, err))
}

var errCorrupt = errors.New("the file is broken: move it away, what is whole in it can be read with the sqlite3 program")

// wrapErr says what was done to which journal and, where that is known, what to do.
func (f *store) wrapErr(doing string, err error) error {
	var failure *sqlite.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &failure):
	case failure.Code()&0xff == sqlite3.SQLITE_BUSY:
		err = fmt.Errorf("another process or another input uses it: give each a path of its own: %w", err)
	case failure.Code()&0xff == sqlite3.SQLITE_CORRUPT || failure.Code()&0xff == sqlite3.SQLITE_NOTADB:
		err = fmt.Errorf("%w: %w", errCorrupt, err)
	case failure.Code()&0xff == sqlite3.SQLITE_FULL:
		err = fmt.Errorf("the disk is full: make room: %w", err)
	}
	return fmt.Errorf("%s the journal %s: %w", doing, f.path, err)
}
