// The inventory service: takes each order off the stock, once, however often it is delivered.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"syscall"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	exchange   = "shop"
	queue      = "shop.inventory"
	routingKey = "order"
	prefetch   = 20
)

type order struct {
	ID       string         `json:"id"`
	Products map[string]int `json:"products"`
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func check(err error, doing string) {
	if err != nil {
		log.Fatalf("%s: %v", doing, err)
	}
}

// subscribe declares what the service needs and returns its deliveries, which end with the context.
func subscribe(ctx context.Context, conn *amqp.Connection) <-chan amqp.Delivery {
	ch, err := conn.Channel()
	check(err, "opening a channel")
	check(ch.ExchangeDeclare(exchange, "direct", true, false, false, false, nil), "declaring the exchange")
	_, err = ch.QueueDeclare(queue, true, false, false, false, nil)
	check(err, "declaring the queue")
	check(ch.QueueBind(queue, routingKey, exchange, false, nil), "binding the queue")
	check(ch.Qos(prefetch, 0, false), "setting the prefetch")
	deliveries, err := ch.ConsumeWithContext(ctx, queue, "", false, false, false, false, nil)
	check(err, "consuming")
	return deliveries
}

// handle acknowledges a delivery after its effect is in the file, so that a crash loses nothing.
func handle(books *books, delivery amqp.Delivery) error {
	var order order
	if err := json.Unmarshal(delivery.Body, &order); err != nil || order.ID == "" {
		log.Printf("not an order: %q", delivery.Body)
		return delivery.Reject(false)
	}
	if books.Booked[order.ID] {
		log.Printf("again %s", order.ID)
		return delivery.Ack(false)
	}
	if err := books.book(order); err != nil {
		return err
	}
	log.Printf("booked %s", order.ID)
	return delivery.Ack(false)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	books, err := openBooks(env("STOCK_FILE", "stock.json"))
	check(err, "reading the stock")
	conn, err := amqp.Dial(env("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F"))
	check(err, "connecting")
	for delivery := range subscribe(ctx, conn) {
		check(handle(books, delivery), "handling an order")
	}
	if ctx.Err() == nil {
		log.Fatal("the broker ended the consumer") // whatever runs this service starts it again
	}
	check(conn.Close(), "closing the connection")
}
