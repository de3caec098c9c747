// Package journal is a queue of frames on disk. What is added is on disk before it
// can be taken out, and stays there until it is settled, so that a process which
// was killed finds it again at its next start.
//
// The file is an SQLite database. One goroutine owns it and commits all that has
// come meanwhile at once, so that the price of a sync is shared. Frames are synced
// to the disk; settlements are only written, which outlives the process and costs
// no sync: after a loss of power a settled frame may be there again, and the file
// is whole in any case.
//
// A frame needs a moment until it is in the file: it is decoded, and may wait for a
// commit. Keep writes it to a plain file beside the journal as soon as it was read, for
// the next process if this one is killed in that moment.
package journal
