// Flows about how a queue hands messages out: fairness, requeueing, sizes, priorities, cancels.
package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

var deliveryFlows = []namedFlow{
	{"work_queue", workQueue},
	{"get_nack_requeue", getNackRequeue},
	{"large_messages", largeMessages},
	{"consumer_cancel_notify", consumerCancelNotify},
	{"priorities_and_sac", prioritiesAndSac},
}

// Two workers with prefetch 1: a busy one gets no second task; its task returns if it dies.
func workQueue(f *flow) {
	tasker := f.publisher()
	tasks := f.queue(tasker.Channel, "tasks", durable)
	connection := f.connect()
	busy, quick := worker(connection, tasks, 1, nil), worker(connection, tasks, 1, nil)
	for number := range 6 {
		task := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(strconv.Itoa(number))}
		must(tasker.tryPublish("", tasks, task))
	}
	busy.wait(1)
	for done := range 5 {
		quick.wait(done + 1)
		quick.ack(done)
	}
	given := append(busy.wait(1), quick.wait(5)...)
	sorted := slices.Sorted(slices.Values(bodies(given)))
	equal(sorted, []string{"0", "1", "2", "3", "4", "5"}, "all tasks")
	equal(redelivered(given), make([]bool, 6), "redelivered flags")
	check(slices.IsSorted(quick.bodies()), "order of the quick worker's tasks: %q", quick.bodies())

	must(busy.channel.Close())
	returned := quick.wait(6)[5]
	equal(string(returned.Body), busy.bodies()[0], "the dead worker's task")
	equal(returned.Redelivered, true, "redelivered flag of the dead worker's task")
	quick.ack(5)
	must(quick.channel.Close())
	equal(bodies(drain(tasker.Channel, tasks)), []string{}, "tasks left")
}

func worker(
	connection *amqp.Connection, queue string, prefetch int, arguments amqp.Table,
) *consumer {
	channel := get(connection.Channel())
	must(channel.Qos(prefetch, 0, false))
	return consume(channel, queue, false, arguments)
}

// basic.get; nack of several at once; what is requeued comes back where it was.
func getNackRequeue(f *flow) {
	channel := f.publisher()
	queue := f.queue(channel.Channel, "queue")
	for number := range 5 {
		channel.send("", queue, fmt.Sprintf("m%d", number+1))
	}
	three := func() []amqp.Delivery {
		return collect(make([]int, 3), func(int) amqp.Delivery {
			return fetch(channel.Channel, queue, false)
		})
	}

	first := three()
	counts := collect(first, func(d amqp.Delivery) uint32 { return d.MessageCount })
	equal(counts, []uint32{4, 3, 2}, "message counts")
	must(first[1].Nack(true, true))
	again := three()
	equal(bodies(again), []string{"m1", "m2", "m4"}, "order after the first nack")
	equal(redelivered(again), []bool{true, true, false}, "redelivered flags")
	must(first[2].Nack(false, true))
	requeued := fetch(channel.Channel, queue, false)
	equal(string(requeued.Body), "m3", "the requeued message, ahead of m5")
	equal(requeued.Redelivered, true, "redelivered flag of the requeued message")
	must(requeued.Reject(false))
	must(channel.Ack(0, true))
	equal(bodies(drain(channel.Channel, queue)), []string{"m5"}, "what is left")
	_, found, err := channel.Get(queue, false)
	must(err)
	check(!found, "an empty queue gave a message")
}

// Bodies around the frame size and far above it arrive byte for byte.
func largeMessages(f *flow) {
	connection := f.connect()
	channel := newPublisher(connection)
	queue := f.queue(channel.Channel, "queue")
	consumer := consume(channel.Channel, queue, false, nil)
	sizes := []int{0, 1}
	for _, around := range []int{connection.Config.FrameSize - 8, connection.Config.FrameSize} {
		sizes = append(sizes, around-1, around, around+1)
	}
	sizes = append(sizes, 2*(connection.Config.FrameSize-8), 1<<20, 16<<20)
	for position, size := range sizes {
		body := make([]byte, size)
		get(rand.Read(body))
		must(channel.tryPublish("", queue, amqp.Publishing{Body: body}))
		received := consumer.wait(position + 1)[position].Body
		equal(len(received), size, "length of the body")
		equal(sha256.Sum256(received), sha256.Sum256(body), fmt.Sprintf("SHA-256 of %d bytes", size))
		consumer.ack(position)
	}
}

// A consumer is told when its queue is deleted, and its channel stays usable.
func consumerCancelNotify(f *flow) {
	channel := f.publisher()
	doomed := f.queue(channel.Channel, "doomed")
	cancelled := channel.NotifyCancel(make(chan string, 1))
	consumer := consume(channel.Channel, doomed, false, nil)
	channel.send("", doomed, "before")
	consumer.wait(1)
	get(f.publisher().QueueDelete(doomed, false, false, false))
	equal(receive(cancelled, "basic.cancel"), consumer.tag, "cancelled consumer")
	other := f.queue(channel.Channel, "other")
	channel.send("", other, "after")
	left := drain(channel.Channel, other)
	equal(bodies(left), []string{"after"}, "messages through the same channel")
	equal(keys(left), []string{other}, "routing keys of these messages")
	equal(len(cancelled), 0, "further cancels")
}

// x-priority: the higher consumer first while it has room. Single active: one, then the next.
func prioritiesAndSac(f *flow) {
	channel := f.publisher()
	queue := f.queue(channel.Channel, "priorities")
	low := worker(f.connect(), queue, 2, amqp.Table{"x-priority": -1})
	high := worker(f.connect(), queue, 2, amqp.Table{"x-priority": 10})
	for number := range 3 {
		channel.send("", queue, strconv.Itoa(number))
	}
	equal(bodies(high.wait(2)), []string{"0", "1"}, "high first")
	equal(bodies(low.wait(1)), []string{"2"}, "the rest to low")
	high.ack(0)
	ready(high.channel, queue) // answered after the ack, which itself has no answer
	channel.send("", queue, "3")
	equal(string(high.wait(3)[2].Body), "3", "message after high has room again")
	equal(len(low.all()), 1, "deliveries to low")

	queue = f.queue(channel.Channel, "single", with("x-single-active-consumer", true))
	active, waiting := worker(f.connect(), queue, 2, nil), worker(f.connect(), queue, 2, nil)
	for number := range 2 {
		channel.send("", queue, strconv.Itoa(number))
	}
	active.wait(2)
	active.ack(0)
	equal(ready(channel.Channel, queue), 0, "messages ready")
	equal(waiting.bodies(), []string{}, "deliveries to the waiting consumer")
	must(active.channel.Close())
	failedOver := waiting.wait(1)[0]
	equal(string(failedOver.Body), "1", "first message after the fail-over")
	equal(failedOver.Redelivered, true, "redelivered flag after the fail-over")
	channel.send("", queue, "2")
	equal(string(waiting.wait(2)[1].Body), "2", "second message after the fail-over")
}
