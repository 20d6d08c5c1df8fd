// Flows about promises: requests answered, confirms, transactions, errors, ownership.
package main

import (
	"fmt"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

var reliabilityFlows = []namedFlow{
	{"rpc", rpc},
	{"confirms_returns", confirmsReturns},
	{"transactions", transactions},
	{"reconnect_after_forced_close", reconnectAfterForcedClose},
	{"exclusive_and_auto_delete", exclusiveAndAutoDelete},
}

const replyTo = "amq.rabbitmq.reply-to"

// Direct reply-to: answers come without a reply queue, matched by correlation id.
func rpc(f *flow) {
	server := get(f.connect().Channel())
	queue := f.queue(server, "squares")
	requests := consume(server, queue, false, nil)
	client := get(f.connect().Channel())
	answers := consume(client, replyTo, true, nil)
	for _, number := range []string{"3", "4", "5"} {
		must(client.Publish("", queue, false, false, amqp.Publishing{
			ReplyTo: replyTo, CorrelationId: "id-" + number, Body: []byte(number),
		}))
	}
	for _, request := range requests.wait(3) {
		check(strings.HasPrefix(request.ReplyTo, replyTo+"."), "reply address: %s", request.ReplyTo)
		number := get(strconv.Atoi(string(request.Body)))
		must(server.Publish("", request.ReplyTo, false, false, amqp.Publishing{
			CorrelationId: request.CorrelationId, Body: []byte(strconv.Itoa(number * number)),
		}))
		must(request.Ack(false))
	}
	got := collect(answers.wait(3), func(d amqp.Delivery) string {
		return fmt.Sprintf("%s: %s", d.CorrelationId, d.Body)
	})
	equal(got, []string{"id-3: 9", "id-4: 16", "id-5: 25"}, "answers")
}

// Every publish is confirmed once; an unroutable mandatory one is returned before that.
func confirmsReturns(f *flow) {
	const count = 100
	channel := get(f.connect().Channel())
	queue := f.queue(channel, "queue")
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, count+2))
	returns := channel.NotifyReturn(make(chan amqp.Return, count+2))
	must(channel.Confirm(false))
	for number := range count {
		body := []byte(strconv.Itoa(number))
		must(channel.Publish("", queue, false, false, amqp.Publishing{Body: body}))
	}
	must(channel.Publish("amq.direct", "nowhere", true, false, amqp.Publishing{}))
	for tag := range uint64(count + 1) { // the client takes bulk confirms apart
		expected := amqp.Confirmation{DeliveryTag: tag + 1, Ack: true}
		equal(receive(confirms, "confirms"), expected, "confirm")
	}
	check(len(returns) > 0, "the return must come before its confirm")
	returned := <-returns
	equal(returned.ReplyCode, amqp.NoRoute, "reply code of the return")
	equal(returned.RoutingKey, "nowhere", "routing key of the return")
	equal(ready(channel, queue), count, "messages in the queue")
	equal(len(confirms)+len(returns), 0, "further confirms and returns")

	missing := f.publisher().mandatory("", f.unique("missing"), "")
	check(missing != nil, "publishing to a missing queue must return the message")
	equal(missing.ReplyText, "NO_ROUTE", "reply text of the return")
}

// Publishes and acks take effect at commit, and not at all after a rollback.
func transactions(f *flow) {
	connection := f.connect()
	watch := get(connection.Channel())
	queue := f.queue(watch, "queue")
	channel := get(connection.Channel())
	publish := func(body string) {
		must(channel.Publish("", queue, false, false, amqp.Publishing{Body: []byte(body)}))
	}
	must(channel.Tx())
	publish("1")
	publish("2")
	equal(ready(watch, queue), 0, "messages before commit")
	must(channel.TxCommit())
	equal(ready(watch, queue), 2, "messages after commit")
	publish("3")
	must(channel.TxRollback())
	must(channel.TxCommit())
	equal(ready(watch, queue), 2, "messages after rollback")

	first := fetch(channel, queue, false)
	equal(string(first.Body), "1", "first message")
	must(first.Ack(false))
	must(channel.TxRollback())
	must(first.Ack(false)) // allowed: the first ack never happened
	must(channel.TxCommit())
	second := fetch(channel, queue, false)
	equal(string(second.Body), "2", "second message")
	must(second.Ack(false))
	must(channel.Close()) // without commit: the message returns
	returned := fetch(watch, queue, true)
	equal(string(returned.Body), "2", "message whose ack was not committed")
	equal(returned.Redelivered, true, "redelivered flag of that message")
	equal(bodies(drain(watch, queue)), []string{}, "messages left")
}

// A channel error costs the channel, a connection error the connection; both can go on.
func reconnectAfterForcedClose(f *flow) {
	connection := f.connect()
	channel := newPublisher(connection)
	queue := f.queue(channel.Channel, "queue", durable)
	closedWith(amqp.NotFound, channel.tryPublish(f.unique("missing"), "", amqp.Publishing{}))
	check(!connection.IsClosed(), "a channel error must leave the connection open")
	channel = newPublisher(connection)
	channel.send("", queue, "kept")

	closedWith(amqp.NotImplemented, channel.Qos(0, 10, false))
	check(connection.IsClosed(), "the connection must be closed")

	channel = f.publisher()
	channel.send("", queue, "new")
	consumer := consume(channel.Channel, queue, true, nil)
	equal(bodies(consumer.wait(2)), []string{"kept", "new"}, "messages after reconnecting")
}

// An exclusive queue is its connection's own; auto-delete goes with the last user.
func exclusiveAndAutoDelete(f *flow) {
	owner, other := f.connect(), f.connect()
	private := f.queue(get(owner.Channel()), "private", exclusive)
	_, err := get(other.Channel()).QueueDeclarePassive(private, false, false, false, false, nil)
	closedWith(amqp.ResourceLocked, err)
	_, err = get(other.Channel()).Consume(private, "", false, false, false, false, nil)
	closedWith(amqp.ResourceLocked, err)
	must(owner.Close())
	eventually(func() bool { return !queueExists(other, private) },
		"the exclusive queue outlived its connection")

	channel := newPublisher(other)
	queue := f.queue(channel.Channel, "fleeting", autoDelete)
	first := consume(channel.Channel, queue, false, nil)
	second := consume(channel.Channel, queue, false, nil)
	must(channel.Cancel(first.tag, false))
	check(queueExists(other, queue), "one consumer is left")
	must(channel.Cancel(second.tag, false))
	check(!queueExists(other, queue), "the auto-delete queue outlived its last consumer")

	exchange := f.exchange(channel.Channel, "passing", "fanout", autoDelete)
	bound := f.queue(channel.Channel, "bound")
	bind(channel, bound, exchange, "")
	check(exchangeExists(other, exchange), "exchange is bound")
	must(channel.QueueUnbind(bound, "", exchange, nil))
	check(!exchangeExists(other, exchange), "the auto-delete exchange outlived its last binding")
}
