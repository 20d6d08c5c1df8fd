// Flows about who may do what, and how those who may not are told.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

var usersPassword = os.Getenv("USERS_PASSWORD")

// Only where there are the users.
func accessFlows() []namedFlow {
	if usersPassword == "" {
		return nil
	}
	return []namedFlow{{"permissions", permissions}, {"logins", logins}}
}

// login is who connects to what; without a password it is that of the users.
type login struct {
	user, password, vhost string
	proxy                 bool
}

func (l login) dial() (*amqp.Connection, error) {
	parts := get(amqp.ParseURI(uri))
	parts.Username, parts.Password, parts.Vhost = l.user, usersPassword, "/"
	if l.password != "" {
		parts.Password = l.password
	}
	if l.vhost != "" {
		parts.Vhost = l.vhost
	}
	if l.proxy {
		host, port, err := net.SplitHostPort(os.Getenv("PROXY_ADDRESS"))
		must(err)
		parts.Host, parts.Port = host, get(strconv.Atoi(port))
	}
	return amqp.DialConfig(parts.String(), amqp.Config{Dial: amqp.DefaultDial(waitMax)})
}

// refused asserts that the channel on which user does action is closed, with 403 and this text.
func refused(user, text string, action func(*publisher) error) {
	connection := get(login{user: user}.dial())
	err := action(newPublisher(connection))
	closedWith(amqp.AccessRefused, err)
	var closing *amqp.Error
	errors.As(err, &closing)
	expected := fmt.Sprintf("ACCESS_REFUSED - %s refused for user '%s'", text, user)
	equal(closing.Reason, expected, "text of the closing")
	check(!connection.IsClosed(), "a channel error must leave the connection open")
	must(connection.Close())
}

// Each permission that is missing is named, and costs the channel only.
func permissions(f *flow) {
	channel := get(f.connect().Channel())
	queue, missing := f.queue(channel, "queue"), f.unique("missing")
	declare := func(p *publisher) error {
		_, err := p.QueueDeclare(missing, false, false, false, false, nil)
		return err
	}
	remove := func(p *publisher) error {
		_, err := p.QueueDelete(queue, false, false, false)
		return err
	}
	fetch := func(p *publisher) error {
		_, _, err := p.Get(queue, true)
		return err
	}
	publishTo := func(exchange, key string) func(*publisher) error {
		return func(p *publisher) error { return p.tryPublish(exchange, key, amqp.Publishing{}) }
	}
	bindTo := func(exchange, key string) func(*publisher) error {
		return func(p *publisher) error { return p.QueueBind(queue, key, exchange, false, nil) }
	}
	ours := fmt.Sprintf("queue '%s' in vhost '/'", queue)
	refused("no_configure", fmt.Sprintf("configure access to queue '%s' in vhost '/'", missing),
		declare)
	refused("no_configure", "configure access to "+ours, remove)
	refused("no_write", "write access to exchange 'amq.default' in vhost '/'", publishTo("", queue))
	refused("no_write", "write access to "+ours, bindTo("amq.direct", "key"))
	refused("no_read", "read access to "+ours, fetch)
	refused("no_read", "read access to exchange 'amq.direct' in vhost '/'",
		bindTo("amq.direct", "key"))
	topic := "topic 'other.key' in exchange topic 'amq.topic' in vhost '/'"
	refused("topical", "write access to "+topic, publishTo("amq.topic", "other.key"))
	refused("topical", "read access to "+topic, bindTo("amq.topic", "other.key"))

	connection := get(login{user: "topical"}.dial())
	own := newPublisher(connection)
	bind(own, queue, "amq.topic", "topical.#")
	own.send("amq.topic", "topical.key", "allowed")
	equal(bodies(drain(own.Channel, queue)), []string{"allowed"}, "what came through")
	must(connection.Close())
}

// Wrong passwords, users that are not known, vhosts that are closed to them or not there. This
// client cannot read the refusal of a login: it gets none, and the socket's end after three seconds.
func logins(*flow) {
	for _, l := range []login{
		{user: "no_read", password: "x"}, {user: "unknown"},
		{user: "guest", password: "guest", proxy: true},
	} {
		_, err := l.dial()
		check(errors.Is(err, amqp.ErrCredentials), "%+v: %v", l, err)
	}
	_, err := login{user: "outsider"}.dial()
	closedWith(amqp.NotAllowed, err)
	_, err = login{user: "guest", password: "guest", vhost: "missing"}.dial()
	closedWith(amqp.NotAllowed, err)
	connection, err := login{user: "topical", proxy: true}.dial()
	must(err)
	must(connection.Close())
}
