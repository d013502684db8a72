package ports

// Backend is the four parts that a client and its workers share. An adapter
// that has them all returns one; a deployment mixes them as it likes.
type Backend struct {
	Store  Store
	Queue  Queue
	Logs   LogSink
	Events EventBus
}
