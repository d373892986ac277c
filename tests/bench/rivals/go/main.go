// A bare edge in Go: net/http takes a body, franz-go writes it to Kafka with acks=all, then comes the answer.
// No signature, no sealing, no Avro. Arguments: bootstrap, topic, port.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	bootstrap, topic, port := os.Args[1], os.Args[2], os.Args[3]
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.DefaultProduceTopic(topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		log.Fatal(err)
	}
	key := []byte("bench")
	handler := http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			answer.WriteHeader(http.StatusBadRequest)
			return
		}
		record := &kgo.Record{Key: key, Value: body}
		if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			answer.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		answer.WriteHeader(http.StatusOK)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, handler))
}
