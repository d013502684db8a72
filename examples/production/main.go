// Command production is a worker, and for the sake of the example a client too, on the
// servers that the three services use: MONGO_URI, REDIS_URL, MINIO_ENDPOINT,
// MINIO_ACCESS_KEY and MINIO_SECRET_KEY say where. Any number of them may run at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/adapters/mongostore"
	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/taskrunner"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	// The clients are ours to make, and to close when nothing uses them any more.
	db, errDB := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGO_URI")))
	kvOptions, errKV := redis.ParseURL(os.Getenv("REDIS_URL"))
	keys := credentials.NewStaticV4(os.Getenv("MINIO_ACCESS_KEY"), os.Getenv("MINIO_SECRET_KEY"), "")
	objects, errObjects := minio.New(os.Getenv("MINIO_ENDPOINT"), &minio.Options{Creds: keys})
	if errDB != nil || errKV != nil || errObjects != nil {
		return errors.New("MONGO_URI, REDIS_URL or MINIO_ENDPOINT cannot be used") // the causes may show passwords
	}
	defer db.Disconnect(ctx)
	kv := redis.NewClient(kvOptions)
	defer kv.Close()

	// Each adapter looks at its server before it is there.
	store, errStore := mongostore.New(ctx, db.Database("taskrunner"))
	queue, errQueue := redisqueue.New(ctx, kv, redisqueue.Config{})
	events, errEvents := redisbus.New(ctx, kv, redisbus.Config{})
	logs, errLogs := miniolog.New(ctx, objects, miniolog.Config{Bucket: "taskrunner-logs"})
	sandbox, errSandbox := sandboxexec.New(sandboxexec.Config{})
	if err := errors.Join(errStore, errQueue, errEvents, errLogs, errSandbox); err != nil {
		return err
	}
	defer events.Close()
	defer sandbox.Close(ctx)

	cfg := taskrunner.Config{
		Backend:   taskrunner.Backend{Store: store, Queue: queue, Logs: logs, Events: events},
		Executor:  sandbox,
		Retention: 24 * time.Hour,
	}
	client, errClient := taskrunner.NewClient(cfg)
	worker, errWorker := taskrunner.NewWorker(cfg)
	if err := errors.Join(errClient, errWorker); err != nil {
		return err
	}
	if err := worker.Start(ctx); err != nil {
		return err
	}
	defer worker.Stop(ctx) // lets the tasks that run come to their end
	task, err := client.Run(ctx, taskrunner.Spec{Language: "python", Code: `print("hello, fleet")`})
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s", task.Status, task.Result.Stdout.Head)
	return nil
}
