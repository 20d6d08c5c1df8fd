// What every flow needs: named connections, checked assertions, waits that end, and tidying up.
//
// A flow is a function taking a *flow. It fails by panicking, which the helpers here do; run prints
// one line for each. Nothing here knows what the flows do.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	waitMax = 10 * time.Second // the longest any single wait takes
	flowMax = 60 * time.Second // the longest a whole flow takes, whatever it is stuck in
)

var (
	uri   = cmp.Or(os.Getenv("AMQP_URL"), "amqp://guest:guest@127.0.0.1:5672/%2F")
	runID = strings.ToLower(rand.Text()[:8])
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func get[T any](value T, err error) T {
	must(err)
	return value
}

func check(condition bool, format string, arguments ...any) {
	if !condition {
		panic(fmt.Errorf(format, arguments...))
	}
}

func equal[T any](actual, expected T, what string) {
	check(reflect.DeepEqual(actual, expected), "%s: expected %#v, got %#v", what, expected, actual)
}

// eventually polls until condition holds: for effects that the protocol does not acknowledge.
func eventually(condition func() bool, message string) {
	for deadline := time.Now().Add(waitMax); !condition(); time.Sleep(20 * time.Millisecond) {
		check(time.Now().Before(deadline), "%s", message)
	}
}

// receive takes the next value of a Go channel, which must come in time.
func receive[T any](values <-chan T, what string) T {
	select {
	case value, open := <-values:
		check(open, "%s: nothing can come any more", what)
		return value
	case <-time.After(waitMax):
		panic(fmt.Errorf("%s: nothing came", what))
	}
}

// flow is one flow's connections and names; everything it declared is gone after close.
type flow struct {
	name        string
	connections []*amqp.Connection
	queues      []string
	exchanges   []string
}

func (f *flow) unique(suffix string) string {
	return fmt.Sprintf("interop.go.%s.%s.%s", runID, f.name, suffix)
}

func dial() *amqp.Connection {
	return get(amqp.DialConfig(uri, amqp.Config{Dial: amqp.DefaultDial(waitMax)}))
}

func (f *flow) connect() *amqp.Connection {
	connection := dial()
	f.connections = append(f.connections, connection)
	return connection
}

// publisher opens a connection with a channel in confirm mode.
func (f *flow) publisher() *publisher { return newPublisher(f.connect()) }

func (f *flow) queue(channel *amqp.Channel, suffix string, departures ...option) string {
	var o options
	for _, depart := range departures {
		depart(&o)
	}
	name := f.unique(suffix)
	f.queues = append(f.queues, name)
	get(channel.QueueDeclare(name, o.durable, o.autoDelete, o.exclusive, false, o.arguments))
	return name
}

func (f *flow) exchange(channel *amqp.Channel, suffix, kind string, departures ...option) string {
	var o options
	for _, depart := range departures {
		depart(&o)
	}
	name := f.unique(suffix)
	f.exchanges = append(f.exchanges, name)
	must(channel.ExchangeDeclare(name, kind, o.durable, o.autoDelete, false, false, o.arguments))
	return name
}

// An option departs from a plain declaration: not durable, shared, kept, without arguments.
type (
	option  func(*options)
	options struct {
		durable, autoDelete, exclusive bool
		arguments                      amqp.Table
	}
)

func durable(o *options)    { o.durable = true }
func autoDelete(o *options) { o.autoDelete = true }
func exclusive(o *options)  { o.exclusive = true }
func with(key string, value any) option {
	return func(o *options) { o.arguments = amqp.Table{key: value} }
}

func (f *flow) close() {
	for _, connection := range f.connections {
		if err := connection.CloseDeadline(time.Now().Add(waitMax)); !errors.Is(err, amqp.ErrClosed) {
			must(err)
		}
	}
	connection := dial()
	channel := get(connection.Channel())
	for _, name := range f.queues {
		get(channel.QueueDelete(name, false, false, false))
	}
	for _, name := range f.exchanges {
		must(channel.ExchangeDelete(name, false, false))
	}
	must(connection.Close())
}

// publisher is a channel whose publishes return once the broker has taken them over.
type publisher struct {
	*amqp.Channel
	returns chan amqp.Return
	closed  chan *amqp.Error
}

func newPublisher(connection *amqp.Connection) *publisher {
	channel := get(connection.Channel())
	must(channel.Confirm(false))
	return &publisher{
		Channel: channel,
		returns: channel.NotifyReturn(make(chan amqp.Return, 1)),
		closed:  channel.NotifyClose(make(chan *amqp.Error, 1)),
	}
}

// send publishes a body that the broker must confirm.
func (p *publisher) send(exchange, key, body string) {
	must(p.tryPublish(exchange, key, amqp.Publishing{Body: []byte(body)}))
}

func (p *publisher) tryPublish(exchange, key string, message amqp.Publishing) error {
	return p.publishConfirmed(exchange, key, false, message)
}

// mandatory publishes a body that has to reach a queue; it gives the return if there was one.
func (p *publisher) mandatory(exchange, key, body string) *amqp.Return {
	must(p.publishConfirmed(exchange, key, true, amqp.Publishing{Body: []byte(body)}))
	select {
	case returned := <-p.returns: // the broker sends it ahead of the confirm
		return &returned
	default:
		return nil
	}
}

func (p *publisher) publishConfirmed(
	exchange, key string, mandatory bool, message amqp.Publishing,
) error {
	patience, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	confirm, err := p.PublishWithDeferredConfirm(exchange, key, mandatory, false, message)
	if err != nil {
		return err
	}
	confirmed, err := confirm.WaitContext(patience)
	if err != nil || confirmed {
		return err
	}
	select {
	case reason := <-p.closed:
		return reason
	default:
		return errors.New("the broker refused a publish")
	}
}

// consumer collects deliveries; wait blocks until enough of them came.
type consumer struct {
	channel    *amqp.Channel
	tag        string
	arrived    chan struct{}
	lock       sync.Mutex
	deliveries []amqp.Delivery
}

func consume(channel *amqp.Channel, queue string, autoAck bool, arguments amqp.Table) *consumer {
	c := &consumer{channel: channel, tag: rand.Text(), arrived: make(chan struct{}, 1)}
	go c.collect(get(channel.Consume(queue, c.tag, autoAck, false, false, false, arguments)))
	return c
}

func (c *consumer) collect(deliveries <-chan amqp.Delivery) {
	for delivery := range deliveries {
		c.lock.Lock()
		c.deliveries = append(c.deliveries, delivery)
		c.lock.Unlock()
		select {
		case c.arrived <- struct{}{}:
		default:
		}
	}
}

func (c *consumer) all() []amqp.Delivery {
	c.lock.Lock()
	defer c.lock.Unlock()
	return slices.Clone(c.deliveries)
}

// wait gives all deliveries once there are count of them, of which there must not be more.
func (c *consumer) wait(count int) []amqp.Delivery {
	late := time.After(waitMax)
	for len(c.all()) < count {
		select {
		case <-c.arrived:
		case <-late:
			panic(fmt.Errorf("waited for %d deliveries, got %q", count, c.bodies()))
		}
	}
	deliveries := c.all()
	equal(len(deliveries), count, "number of deliveries")
	return deliveries
}

func (c *consumer) ack(position int) { must(c.all()[position].Ack(false)) }

func (c *consumer) bodies() []string { return bodies(c.all()) }

func bodies(deliveries []amqp.Delivery) []string {
	return collect(deliveries, func(d amqp.Delivery) string { return string(d.Body) })
}

func keys(deliveries []amqp.Delivery) []string {
	return collect(deliveries, func(d amqp.Delivery) string { return d.RoutingKey })
}

func redelivered(deliveries []amqp.Delivery) []bool {
	return collect(deliveries, func(d amqp.Delivery) bool { return d.Redelivered })
}

// collect maps a slice; what comes of an empty one equals an empty literal.
func collect[T, U any](values []T, give func(T) U) []U {
	results := []U{}
	for _, value := range values {
		results = append(results, give(value))
	}
	return results
}

// fetch gets a message that must be there.
func fetch(channel *amqp.Channel, queue string, autoAck bool) amqp.Delivery {
	delivery, found, err := channel.Get(queue, autoAck)
	must(err)
	check(found, "%s should not be empty", queue)
	return delivery
}

// drain takes all that lies in a queue, in order.
func drain(channel *amqp.Channel, queue string) []amqp.Delivery {
	var messages []amqp.Delivery
	for {
		delivery, found, err := channel.Get(queue, true)
		must(err)
		if !found {
			return messages
		}
		messages = append(messages, delivery)
	}
}

// ready is how many messages lie ready in a queue.
func ready(channel *amqp.Channel, queue string) int {
	return get(channel.QueueDeclarePassive(queue, false, false, false, false, nil)).Messages
}

// closedWith asserts that err is the broker's closing of a channel or connection with code.
func closedWith(code int, err error) {
	var closing *amqp.Error
	check(errors.As(err, &closing), "should have been closed with %d, got %v", code, err)
	equal(closing.Code, code, fmt.Sprintf("reply code of the closing (%s)", closing.Reason))
}

// exists is whether the passive declaration finds what it names.
func exists(connection *amqp.Connection, declare func(*amqp.Channel) error) bool {
	channel := get(connection.Channel())
	if err := declare(channel); err != nil {
		closedWith(amqp.NotFound, err)
		return false
	}
	must(channel.Close())
	return true
}

func queueExists(connection *amqp.Connection, name string) bool {
	return exists(connection, func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclarePassive(name, false, false, false, false, nil)
		return err
	})
}

func exchangeExists(connection *amqp.Connection, name string) bool {
	return exists(connection, func(channel *amqp.Channel) error {
		return channel.ExchangeDeclarePassive(name, "", false, false, false, false, nil)
	})
}

type namedFlow struct {
	name string
	body func(*flow)
}

// attempt runs an action in a goroutine of its own, and gives what it panicked with.
func attempt(action func()) error {
	outcome := make(chan error, 1)
	go func() {
		defer func() {
			if problem := recover(); problem != nil {
				outcome <- fmt.Errorf("%v", problem)
			}
			close(outcome)
		}()
		action()
	}()
	select {
	case problem := <-outcome:
		return problem
	case <-time.After(flowMax):
		return fmt.Errorf("took longer than %s", flowMax)
	}
}

func runOne(named namedFlow) bool {
	f := &flow{name: named.name}
	started := time.Now()
	problem := attempt(func() { named.body(f) })
	problem = errors.Join(problem, attempt(f.close))
	took := time.Since(started).Round(time.Millisecond).Milliseconds()
	if problem != nil {
		reason := strings.ReplaceAll(problem.Error(), "\n", "; ")
		fmt.Printf("FAIL %s %d ms %s\n", named.name, took, reason)
		return false
	}
	fmt.Printf("ok %s %d ms\n", named.name, took)
	return true
}

// run runs the flows named on the command line, or all; it exits non-zero when one failed.
func run(flows []namedFlow) {
	wanted := os.Args[1:]
	passed, failed := 0, 0
	for _, named := range flows {
		switch {
		case len(wanted) > 0 && !slices.Contains(wanted, named.name):
		case runOne(named):
			passed++
		default:
			failed++
		}
	}
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
