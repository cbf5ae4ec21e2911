package composefile

import (
	"strings"
)

// image is what is known of a well-known image.
type image struct {
	// ports are where it listens, the main one first, with what it speaks.
	ports []imagePort
	// database images are stateful once they have a named volume.
	database bool
	// user, password, name are the variables of its connection info;
	// defaultUser is who connects when none is named.
	user, password, name []string
	defaultUser          string
}

type imagePort struct {
	number   int
	protocol string // "http" makes a route of it
}

// knownImage is what is known of an image by the last part of its name, nil if
// nothing.
func knownImage(ref string) *image {
	name, _, _ := strings.Cut(ref, "@")
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, ":")
	db := func(port int, protocol string) *image {
		return &image{ports: []imagePort{{port, protocol}}, database: true}
	}
	app := func(ports ...imagePort) *image { return &image{ports: ports} }
	switch strings.ToLower(name) {
	case "mysql", "mariadb", "percona", "percona-server", "mysql-server":
		i := db(3306, "mysql")
		i.user, i.defaultUser = []string{"MYSQL_USER", "MARIADB_USER"}, "root"
		i.password = []string{"MYSQL_PASSWORD", "MARIADB_PASSWORD"}
		i.name = []string{"MYSQL_DATABASE", "MARIADB_DATABASE"}
		return i
	case "postgres", "postgresql", "postgis", "timescaledb", "pgvector":
		i := db(5432, "postgres")
		i.user, i.defaultUser = []string{"POSTGRES_USER", "POSTGRESQL_USERNAME"}, "postgres"
		i.password = []string{"POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"}
		i.name = []string{"POSTGRES_DB", "POSTGRESQL_DATABASE"}
		return i
	case "mongo", "mongodb", "mongodb-community-server":
		i := db(27017, "mongodb")
		i.user, i.password = []string{"MONGO_INITDB_ROOT_USERNAME"}, []string{"MONGO_INITDB_ROOT_PASSWORD"}
		i.name = []string{"MONGO_INITDB_DATABASE"}
		return i
	case "redis", "valkey", "redis-stack-server", "keydb":
		i := db(6379, "redis")
		i.password = []string{"REDIS_PASSWORD"}
		return i
	case "rabbitmq":
		i := db(5672, "amqp")
		i.user, i.password = []string{"RABBITMQ_DEFAULT_USER"}, []string{"RABBITMQ_DEFAULT_PASS"}
		i.defaultUser = "guest"
		i.ports = append(i.ports, imagePort{15672, "http"})
		return i
	case "elasticsearch", "opensearch":
		i := db(9200, "http")
		i.ports = append(i.ports, imagePort{9300, ""})
		return i
	case "cassandra", "scylla":
		return db(9042, "")
	case "clickhouse", "clickhouse-server":
		i := db(8123, "http")
		i.ports = append(i.ports, imagePort{9000, ""})
		return i
	case "influxdb":
		return db(8086, "http")
	case "couchdb":
		return db(5984, "http")
	case "neo4j":
		i := db(7687, "")
		i.ports = append(i.ports, imagePort{7474, "http"})
		return i
	case "kafka", "cp-kafka":
		return db(9092, "kafka")
	case "zookeeper", "cp-zookeeper":
		return db(2181, "")
	case "etcd":
		return db(2379, "")
	case "nats":
		return db(4222, "")
	case "minio":
		i := db(9000, "http")
		i.ports = append(i.ports, imagePort{9001, "http"})
		i.user, i.password = []string{"MINIO_ROOT_USER"}, []string{"MINIO_ROOT_PASSWORD"}
		return i
	case "mssql", "server":
		if strings.Contains(ref, "mssql") {
			return db(1433, "")
		}
	case "memcached":
		return app(imagePort{11211, "memcached"})
	case "logstash":
		return app(imagePort{5044, ""}, imagePort{9600, "http"})
	case "kibana":
		return app(imagePort{5601, "http"})
	case "prometheus":
		return app(imagePort{9090, "http"})
	case "grafana":
		return app(imagePort{3000, "http"})
	case "nginx", "httpd", "caddy", "traefik", "wordpress", "nextcloud", "drupal", "phpmyadmin", "haproxy", "whoami", "apache":
		return app(imagePort{80, "http"})
	case "tomcat", "adminer", "jenkins", "keycloak", "nginx-unprivileged":
		return app(imagePort{8080, "http"})
	case "registry":
		return app(imagePort{5000, "http"})
	case "ghost":
		return app(imagePort{2368, "http"})
	case "mosquitto", "eclipse-mosquitto":
		return app(imagePort{1883, "mqtt"})
	}
	return nil
}

// speaks is what a port of the image carries; known is false for a port that
// the image is not known for.
func (i *image) speaks(number int) (protocol string, known bool) {
	if i == nil {
		return "", false
	}
	for _, p := range i.ports {
		if p.number == number {
			return p.protocol, true
		}
	}
	return "", false
}

// webPort reports whether a port usually serves plain HTTP.
func webPort(number int) bool {
	switch number {
	case 80, 81, 3000, 3001, 4000, 4200, 5000, 5001, 5173, 5601, 7000, 8000, 8001, 8008, 8080, 8081, 8082, 8088, 8090, 8888, 9090:
		return true
	}
	return false
}

// schemePort is the port that a URL's scheme means.
func schemePort(scheme string) int {
	switch scheme {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	case "postgres", "postgresql":
		return 5432
	case "mysql", "mariadb":
		return 3306
	case "redis":
		return 6379
	case "mongodb":
		return 27017
	case "amqp":
		return 5672
	}
	return 0
}
