// Flows about where a message goes: exchange types, bindings between exchanges, alternates.
package main

import (
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var routingFlows = []namedFlow{
	{"publish_subscribe", publishSubscribe},
	{"routing", routing},
	{"topics", topics},
	{"headers", headers},
	{"exchange_to_exchange", exchangeToExchange},
	{"alternate_exchange", alternateExchange},
}

func bind(channel *publisher, queue, exchange string, keys ...string) {
	for _, key := range keys {
		must(channel.QueueBind(queue, key, exchange, false, nil))
	}
}

// fanout: each subscriber's own queue gets every message, until it is unbound.
func publishSubscribe(f *flow) {
	channel := f.publisher()
	news := f.exchange(channel.Channel, "news", "fanout")
	subscribe := func() (string, *consumer) {
		queue := get(channel.QueueDeclare("", false, false, true, false, nil)).Name
		bind(channel, queue, news, "")
		return queue, consume(channel.Channel, queue, true, nil)
	}
	queue, leaving := subscribe()
	_, staying := subscribe()
	channel.send(news, "ignored", "first")
	for _, reader := range []*consumer{leaving, staying} {
		equal(bodies(reader.wait(1)), []string{"first"}, "body for every subscriber")
	}
	must(channel.QueueUnbind(queue, "", news, nil))
	channel.send(news, "", "second")
	staying.wait(2)
	equal(leaving.bodies(), []string{"first"}, "what the unbound subscriber has")
}

// direct: the routing key must equal the binding key; several keys may lead to one queue.
func routing(f *flow) {
	channel := f.publisher()
	logs := f.exchange(channel.Channel, "logs", "direct", durable)
	failures := f.queue(channel.Channel, "errors")
	everything := f.queue(channel.Channel, "everything")
	bind(channel, failures, logs, "error")
	bind(channel, everything, logs, "info", "warning", "error")
	for _, severity := range []string{"info", "error", "debug", "warning", "error"} {
		channel.send(logs, severity, strings.ToUpper(severity))
	}
	for queue, expected := range map[string][]string{
		failures:   {"error", "error"},
		everything: {"info", "error", "warning", "error"},
	} {
		messages := drain(channel.Channel, queue)
		equal(keys(messages), expected, "keys of the messages in "+queue)
		equal(bodies(messages), collect(expected, strings.ToUpper), "messages in "+queue)
	}
}

// topic: `*` is one word, `#` any number of them, and two matching bindings make one copy.
func topics(f *flow) {
	channel := f.publisher()
	animals := f.exchange(channel.Channel, "animals", "topic")
	sent := []string{"quick.orange.rabbit", "lazy.orange.elephant", "quick.orange.fox",
		"lazy.pink.rabbit", "quick.brown.fox", "orange",
		"quick.orange.new.rabbit", "lazy", "quick.fox", ""}
	expected := map[string][]string{
		"*.orange.*":        sent[:3],
		"*.*.rabbit lazy.#": {sent[0], sent[1], sent[3], "lazy"},
		"#":                 sent,
		"quick.#.fox":       {"quick.orange.fox", "quick.brown.fox", "quick.fox"},
	}
	queues := map[string]string{}
	for patterns := range expected {
		queues[patterns] = f.queue(channel.Channel, strconv.Itoa(len(queues)))
		bind(channel, queues[patterns], animals, strings.Fields(patterns)...)
	}
	for _, key := range sent {
		channel.send(animals, key, "")
	}
	for patterns, queue := range queues {
		equal(keys(drain(channel.Channel, queue)), expected[patterns], "keys matching "+patterns)
	}
}

// Every field type that RabbitMQ documents and this client writes.
var fields = amqp.Table{
	"boolean":   true,
	"byte":      int8(-7),
	"short":     int16(-700),
	"int":       int32(-70_000),
	"long":      int64(1<<40 + 1),
	"float":     float32(0.5),
	"double":    -1.25e100,
	"decimal":   amqp.Decimal{Scale: 2, Value: 314},
	"timestamp": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Local(),
	"text":      "Häschen 🐇",
	"bytes":     []byte{0x00, 0xff, 0x80},
	"void":      nil,
	"array": []any{int32(1), "two", false, nil, []any{[]byte{0}},
		amqp.Table{"deep": int32(3)}},
	"table": amqp.Table{"inner": amqp.Table{"key": "value"}, "empty": amqp.Table{},
		"nothing": []any(nil)},
}

// headers: x-match all and any; and every field type and property arrives as it was sent.
func headers(f *flow) {
	channel := f.publisher()
	papers := f.exchange(channel.Channel, "papers", "headers")
	both := f.queue(channel.Channel, "both")
	either := f.queue(channel.Channel, "either")
	for queue, match := range map[string]string{both: "all", either: "any"} {
		wanted := amqp.Table{"x-match": match, "format": "pdf", "pages": 7}
		must(channel.QueueBind(queue, "", papers, false, wanted))
	}
	for number, sample := range []amqp.Table{
		{"format": "pdf", "pages": 7}, {"format": "pdf", "pages": 7, "more": 1}, {"format": "pdf"},
		{"format": "zip", "pages": 7}, {"format": "zip"}, {},
	} {
		message := amqp.Publishing{Headers: sample, Body: []byte(strconv.Itoa(number))}
		must(channel.tryPublish(papers, "", message))
	}
	equal(bodies(drain(channel.Channel, both)), []string{"0", "1"}, "matched by all")
	equal(bodies(drain(channel.Channel, either)), []string{"0", "1", "2", "3"}, "matched by any")

	sent := amqp.Publishing{
		Headers: fields, ContentType: "text/plain", ContentEncoding: "utf-8",
		DeliveryMode: amqp.Transient, Priority: 3, CorrelationId: "c-1", ReplyTo: "somewhere",
		Expiration: "60000", MessageId: "m-1",
		Timestamp: time.Unix(1_767_323_045, 0), Type: "sample", UserId: get(amqp.ParseURI(uri)).Username,
		AppId: "interop", Body: []byte{},
	}
	must(channel.tryPublish("", both, sent))
	got := fetch(channel.Channel, both, true)
	for key, value := range fields {
		equal(got.Headers[key], value, "header "+key)
	}
	equal(len(got.Headers), len(fields), "number of headers")
	arrived := amqp.Publishing{
		Headers: sent.Headers, ContentType: got.ContentType, ContentEncoding: got.ContentEncoding,
		DeliveryMode: got.DeliveryMode, Priority: got.Priority, CorrelationId: got.CorrelationId,
		ReplyTo: got.ReplyTo, Expiration: got.Expiration, MessageId: got.MessageId,
		Timestamp: got.Timestamp, Type: got.Type, UserId: got.UserId, AppId: got.AppId, Body: []byte{},
	}
	equal(arrived, sent, "properties")
}

// Exchanges bound to exchanges: chained patterns, one copy for two ways, and unbinding.
func exchangeToExchange(f *flow) {
	channel := f.publisher()
	source := f.exchange(channel.Channel, "source", "topic")
	relay := f.exchange(channel.Channel, "relay", "fanout")
	queue := f.queue(channel.Channel, "queue")
	must(channel.ExchangeBind(relay, "orders.#", source, false, nil))
	bind(channel, queue, relay, "")
	bind(channel, queue, source, "*.paid")
	for _, key := range []string{"orders.new", "orders.paid", "parcels.sent"} {
		channel.send(source, key, "")
	}
	equal(keys(drain(channel.Channel, queue)), []string{"orders.new", "orders.paid"}, "keys by relay")
	must(channel.ExchangeUnbind(relay, "orders.#", source, false, nil))
	channel.send(source, "orders.new", "")
	equal(len(drain(channel.Channel, queue)), 0, "messages after unbinding the exchanges")
}

// What no binding takes goes to the alternate exchange, and is then not returned.
func alternateExchange(f *flow) {
	channel := f.publisher()
	rest := f.exchange(channel.Channel, "rest", "fanout")
	main := f.exchange(channel.Channel, "main", "direct", with("alternate-exchange", rest))
	known := f.queue(channel.Channel, "known")
	unknown := f.queue(channel.Channel, "unknown")
	bind(channel, known, main, "known")
	bind(channel, unknown, rest, "")
	check(channel.mandatory(main, "known", "1") == nil, "a routed message was returned")
	check(channel.mandatory(main, "other", "2") == nil, "a message for the alternate was returned")
	for queue, expected := range map[string][2]string{known: {"known", "1"}, unknown: {"other", "2"}} {
		messages := drain(channel.Channel, queue)
		equal(keys(messages), []string{expected[0]}, "keys in "+queue)
		equal(bodies(messages), []string{expected[1]}, "messages in "+queue)
	}
	must(channel.QueueUnbind(unknown, "", rest, nil))
	returned := channel.mandatory(main, "other", "3")
	check(returned != nil, "a message that the alternate cannot route either must be returned")
	equal(returned.ReplyCode, amqp.NoRoute, "reply code of the return")
}
