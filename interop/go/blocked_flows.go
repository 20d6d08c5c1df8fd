// The flow through an alarm: publishers are blocked and told so, consumers are not.
package main

import (
	"os"
	"os/exec"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	blockedMax = time.Second // how soon a publisher learns that it is blocked
	heartbeat  = time.Second
)

// Only where the broker is one whose alarm we can raise.
func blockedFlows() []namedFlow {
	if os.Getenv("ALARM") == "" {
		return nil
	}
	return []namedFlow{{"blocked", blocked}}
}

func alarm(state string) { must(exec.Command(os.Getenv("ALARM"), state).Run()) }

// Blocked within a second, alive beyond two heartbeats, then all that was sent meanwhile.
func blocked(f *flow) {
	connection := get(amqp.DialConfig(uri, amqp.Config{
		Dial: amqp.DefaultDial(waitMax), Heartbeat: heartbeat,
	}))
	f.connections = append(f.connections, connection)
	notices := connection.NotifyBlocked(make(chan amqp.Blocking, 10))
	channel := newPublisher(connection)
	queue := f.queue(channel.Channel, "queue")
	var confirms []*amqp.DeferredConfirmation
	var expected []string
	send := func(count int) {
		for range count {
			body := strconv.Itoa(len(expected))
			message := amqp.Publishing{Body: []byte(body)}
			confirms = append(confirms,
				get(channel.PublishWithDeferredConfirm("", queue, false, false, message)))
			expected = append(expected, body)
		}
	}
	send(10)
	inbox := func() *consumer {
		defer alarm("off")
		alarm("on")
		since := time.Now()
		notice := receive(notices, "connection.blocked")
		check(time.Since(since) < blockedMax, "connection.blocked took %s", time.Since(since))
		equal(notice, amqp.Blocking{Active: true, Reason: "low on memory"}, "notice")
		send(10)
		inbox := consume(get(f.connect().Channel()), queue, true, nil)
		inbox.wait(10)
		time.Sleep(time.Until(since.Add(heartbeat * 7 / 2)))
		check(!connection.IsClosed(), "the blocked connection was closed")
		inbox.wait(10)
		return inbox
	}()
	equal(receive(notices, "connection.unblocked").Active, false, "notice")
	send(10)
	equal(bodies(inbox.wait(30)), expected, "all that was published")
	for _, confirm := range confirms {
		select {
		case <-confirm.Done():
			check(confirm.Acked(), "a publish was refused")
		case <-time.After(waitMax):
			check(false, "a publish was not confirmed")
		}
	}
}
