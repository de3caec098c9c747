// Package journal is a queue of frames on disk. What is added is on disk before it
// can be taken out, and stays there until it is settled, so that a process which
// was killed finds it again at its next start.
//
// Keep appends a frame to one of two plain files, as soon as it was read. Add has the
// disk take it before it can be taken out, and most frames are settled soon and never
// are anywhere else. What the pipeline does not take in time, and what is left at the end,
// goes into the journal's own file, an SQLite database.
//
// One goroutine owns all of them and writes all that has come meanwhile at once, so
// that the price of a sync is shared. Frames are synced to the disk; settlements are only
// written, which outlives the process and costs no sync: after a loss of power a
// settled frame may be there again, and the database is whole in any case.
package journal
