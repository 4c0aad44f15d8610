# shellcheck shell=bash
# The permanent Internet services: DNS on .53, UDP echo on .7, HTTPS on .80, bulk TCP on .10 port 9000.

SERVICES=()

services_up() {
	local dir=$WORK/internet
	mkdir -p "$dir"
	[ -e "$dir/key.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
		-subj /CN=www.example.org -keyout "$dir/key.pem" -out "$dir/cert.pem" 2> /dev/null
	echo "hello from www.example.org" > "$dir/hello.txt"
	service dns --address 192.0.2.53
	service echo --address 192.0.2.7
	if [ -e /proc/sys/net/ipv6 ]; then
		service dns --address 2001:db8:3::53
		service echo --address 2001:db8:3::7
	fi
	service bulk-server --port 9000
	(cd "$dir" && exec ip netns exec internet openssl s_server -quiet -WWW -accept 443 \
		-cert cert.pem -key key.pem < /dev/null > https.log 2>&1) &
	SERVICES+=($!)
	await 15 "HTTPS to answer" https_answers
}

# service SUBCOMMAND ARGS...: starts a service of millpond-world in the background.
service() {
	at internet "$WORLD" "$@" >> "$WORK/internet/$1.log" 2>&1 &
	SERVICES+=($!)
}

services_down() {
	kill "${SERVICES[@]}" 2> /dev/null || true
	wait "${SERVICES[@]}" 2> /dev/null || true
	SERVICES=()
}

https_answers() { fetch internet hello.txt | grep "hello from" > /dev/null; }

# fetch PLACE FILE: prints the file, fetched by HTTPS from that place.
fetch() {
	printf 'GET /%s HTTP/1.0\r\n\r\n' "$2" |
		at "$1" timeout 10 openssl s_client -quiet -connect 192.0.2.80:443 -servername www.example.org 2> /dev/null
}

# udp_echo PLACE TEXT: sends the text to the echo server and prints the answer.
udp_echo() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	at "$1" timeout 5 bash -c 'exec 3<> /dev/udp/192.0.2.7/7 && printf %s "$1" >&3 && read -r -N ${#1} -u 3 back && echo "$back"' - "$2"
}
