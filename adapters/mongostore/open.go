package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// minWireVersion is MongoDB 4.4's. Earlier ones are no longer looked after; before 4.4.2
// there is no hello.
const minWireVersion = 9

// Store is a ports.Store.
type Store struct {
	tasks, keys *mongo.Collection
	maxDocument int // bytes
	pageBytes   int // that end a page
}

// New returns the store that db holds. It asks the server what it is, makes the
// indexes that are not there and sweeps what creators left behind that died.
//
// The store has its own read and write concerns, whatever the client has: a write has
// returned once it is in the journals of a majority, and reads are the primary's.
func New(ctx context.Context, db *mongo.Database) (*Store, error) {
	s, err := open(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("opening database %q: %w", db.Name(), err)
	}
	return s, nil
}

func open(ctx context.Context, db *mongo.Database) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var h hello
	primary := options.RunCmd().SetReadPreference(readpref.Primary())
	if err := db.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}, primary).Decode(&h); err != nil {
		return nil, refused(ctx, err)
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	o := options.Collection().
		SetReadPreference(readpref.Primary()).
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: new(true)}).
		SetRegistry(bson.NewRegistry()).
		SetBSONOptions(&options.BSONOptions{})
	s := &Store{db.Collection("tasks", o), db.Collection("idempotency_keys", o), h.MaxDocument, maxPageBytes}
	for _, index := range indexes() { // FerretDB 1.24 fails when it is asked for several that are there
		if _, err := s.tasks.Indexes().CreateOne(ctx, index); err != nil {
			return nil, fmt.Errorf("making indexes: %w", refused(ctx, err))
		}
	}
	if err := s.sweep(ctx, leftAfter); err != nil {
		return nil, fmt.Errorf("sweeping what was left behind: %w", err)
	}
	return s, nil
}

// hello is what a server says of itself.
type hello struct {
	WireVersion int  `bson:"maxWireVersion"`
	Primary     bool `bson:"isWritablePrimary"`
	MaxDocument int  `bson:"maxBsonObjectSize"`
}

// check refuses a server that cannot be trusted with tasks.
func (h hello) check() error {
	switch {
	case h.WireVersion < minWireVersion:
		return fmt.Errorf("the server is too old: it speaks version %d of the protocol and not %d; MongoDB 4.4.2 or later is needed", h.WireVersion, minWireVersion)
	case !h.Primary:
		return errors.New("the server cannot be written to: give the URI the hosts and the replicaSet of the whole set, without directConnection")
	case h.MaxDocument <= 2*reserve:
		return fmt.Errorf("the server takes documents of %d bytes at most, which is too little", h.MaxDocument)
	}
	return nil
}

// indexes returns the indexes of the tasks; doc.go says which query needs which.
func indexes() []mongo.IndexModel {
	newestFirst := bson.D{{Key: "created_at", Value: -1}, {Key: "_id", Value: -1}}
	index := func(name string, fields ...string) mongo.IndexModel {
		var keys bson.D
		for _, f := range fields {
			keys = append(keys, bson.E{Key: f, Value: 1})
		}
		return mongo.IndexModel{Keys: append(keys, newestFirst...), Options: options.Index().SetName(name)}
	}
	return []mongo.IndexModel{
		index("newest"),
		index("owner", "owner"),
		index("owner_status", "owner", "status"),
		index("owner_labels", "owner", "spec.labels"),
		index("status", "status"),
		{Keys: bson.D{{Key: "pending", Value: 1}}, Options: options.Index().SetName("pending").SetSparse(true)},
	}
}
