// Package journal is a durable queue of frames. A frame is on disk before a consumer
// gets it, and stays there until the consumer acknowledges it, so a process that was
// killed finds it again at its next start.
//
// This is the way of a frame:
//
//  1. Append writes it to the write-ahead log as soon as its last byte is read.
//  2. Enqueue hands it, decoded, to the writer: the one goroutine that owns the store.
//  3. The writer syncs the log for all new frames at once. Now they are durable.
//  4. A checkpoint moves the log's frames into the store, an SQLite database, when the log
//     or memory is full, when the log lacks a new frame, and at Close.
//  5. Durable frames wait in memory, or in the store until the writer loads them.
//  6. Dequeue returns the oldest frame. Item.Ack acknowledges it.
//  7. The writer keeps the ids of acknowledged frames in the store and deletes the frames.
//  8. The log truncates a segment when all its frames are acknowledged or in the store.
//  9. Open replays the log into the store, except frames that the store has already.
//
// What is written outlives the process, but only what is synced outlives a loss of power.
// New frames are synced. Acknowledgements are only written, which is cheap: after a loss
// of power, an acknowledged frame can be delivered again. The store is consistent in any
// case.
package journal
