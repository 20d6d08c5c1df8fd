// Flows over TLS: a server that is verified, a client's certificate, and who is refused.
package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var tlsURI = os.Getenv("AMQPS_URL")

// Only where there is a listener for TLS.
func tlsFlows() []namedFlow {
	if tlsURI == "" {
		return nil
	}
	return []namedFlow{
		{"verified_server", verifiedServer},
		{"external", external},
		{"strangers", strangers},
		{"close_behind_publishes", closeBehindPublishes},
	}
}

func dialTLS(authority, identity string, sasl []amqp.Authentication) (*amqp.Connection, error) {
	directory := os.Getenv("TLS_DIR")
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	config.RootCAs.AppendCertsFromPEM(get(os.ReadFile(filepath.Join(directory, authority))))
	if identity != "" {
		path := filepath.Join(directory, identity)
		own := get(tls.LoadX509KeyPair(path+".pem", path+".key"))
		// Whoever the server says may have signed it.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &own, nil
		}
	}
	return amqp.DialConfig(tlsURI, amqp.Config{
		Dial: amqp.DefaultDial(waitMax), TLSClientConfig: config, SASL: sasl,
	})
}

// Publishes, is confirmed, and takes it all back: small messages and one of many records.
func exchangeMessages(connection *amqp.Connection) {
	channel := get(connection.Channel())
	must(channel.Confirm(false))
	queue := get(channel.QueueDeclare("", false, false, true, false, nil))
	large := make([]byte, 1<<20)
	get(rand.Read(large))
	expected := []string{}
	for number := range 100 {
		expected = append(expected, strconv.Itoa(number))
	}
	expected = append(expected, string(large))
	publisher := newPublisher(connection)
	for _, body := range expected {
		must(publisher.tryPublish("", queue.Name, amqp.Publishing{Body: []byte(body)}))
	}
	equal(bodies(drain(channel, queue.Name)), expected, "what came back")
	must(connection.Close())
}

// A server whose certificate is verified; logged in by password.
func verifiedServer(*flow) { exchangeMessages(get(dialTLS("ca.pem", "", nil))) }

// Logged in by a certificate alone.
func external(*flow) {
	exchangeMessages(get(dialTLS("ca.pem", "client", []amqp.Authentication{&amqp.ExternalAuth{}})))
}

// The client refuses a server of another authority, the server such a client.
func strangers(*flow) {
	_, err := dialTLS("other-ca.pem", "", nil)
	check(err != nil, "a server of another authority was not refused")
	_, err = dialTLS("ca.pem", "other-client", nil)
	check(err != nil, "a client of another authority was not refused")
}

// A close right behind 10,000 publishes overtakes none of them, and is answered.
func closeBehindPublishes(f *flow) {
	connection := get(dialTLS("ca.pem", "", nil))
	channel, other := get(connection.Channel()), get(f.connect().Channel())
	queue := f.queue(other, "queue")
	for number := range 10_000 {
		body := []byte(strconv.Itoa(number))
		must(channel.Publish("", queue, false, false, amqp.Publishing{Body: body}))
	}
	must(connection.CloseDeadline(time.Now().Add(waitMax)))
	equal(ready(other, queue), 10_000, "messages")
}
