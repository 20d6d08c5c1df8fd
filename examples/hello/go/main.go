// Hello publishes a message, waits for the broker's confirm, and consumes it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	uri := os.Getenv("AMQP_URL")
	if uri == "" {
		uri = "amqp://guest:guest@127.0.0.1:5672/%2F"
	}
	if err := hello(context.Background(), uri); err != nil {
		log.Fatal(err)
	}
}

func hello(ctx context.Context, uri string) error {
	connection, err := amqp.Dial(uri)
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if _, err = channel.QueueDeclare("hello.go", true, false, false, false, nil); err != nil {
		return err
	}
	if err = channel.Confirm(false); err != nil {
		return err
	}

	confirm, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", "hello.go", true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("Hello, Leveret")})
	if err != nil {
		return err
	}
	if onDisk, err := confirm.WaitContext(ctx); err != nil || !onDisk {
		return fmt.Errorf("not confirmed: %w", err)
	}

	deliveries, err := channel.ConsumeWithContext(ctx, "hello.go", "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	delivery := <-deliveries
	fmt.Println("received", string(delivery.Body))
	return delivery.Ack(false)
}
