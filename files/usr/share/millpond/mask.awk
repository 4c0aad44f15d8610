# Masks a support report. The input is lines of private words, a line with the byte 1, and the report. Equal values get
# equal masks, so a reader can still follow one device or address through the report.
#
# A masked value becomes a number between the bytes 2 and 3, in control characters, so that no later step finds
# anything in it. The masks are written at the end of each line.

BEGIN {
	byte = "[0-9A-Fa-f][0-9A-Fa-f]"
	key = "[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/]"
	key = key key key key key key key key key key "[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/]?=+"
	mac = byte "[:-]" byte "[:-]" byte "[:-]" byte "[:-]" byte "[:-]" byte
	bare_mac = byte byte byte byte byte byte
	v4 = "[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+"
	v6 = "[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*"
	host = "[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)+"
	openvpn = "openvpn: (Initialization Sequence Completed|AUTH: Received control message: AUTH_FAILED|" \
		"TLS Error: TLS handshake failed|SIG[A-Z0-9]+[^:]* received, process (restart|exit)ing)$"
	# Interfaces with the kernel's or OpenWrt's own names.
	interface = "^(br-)?(eth|lan|wan|wlan|wg|tun|phy)[0-9]*(-ap[0-9]+)?([.][0-9]+)?$"
	# A section of the settings or one of its options.
	setting = "^@[^=]*[]]([.][A-Za-z0-9_]+)?="

	# Options whose values are numbers, times of day or the words below. The values of all others are masked.
	set(harmless_option, "enabled role level upload download cell law spread train data_cap billing_day price " \
		"cap_day cap_level off audit mark table priority type listen_port overhead mode policy kind tolerance watch day " \
		"start stop max_download join_until input output forward masq unencrypted router_service")
	set(other_option, "name mac address address6 private_key join_key public_key preshared_key endpoint backup " \
		"peer_address profile interface server device src dest")
	set(section, "millpond tunnel dns device network level schedule home zone forwarding")
	set(harmless, "router endpoint saver balanced strict custom gamma normal constant kernel wireguard openvpn " \
		"interface tunnel shape block direct plug speaker camera sleep other off on yes no true false enabled " \
		"disabled mon tue wed thu fri sat sun accept reject drop")
	# Names that many homes have.
	set(common, "lan wan wan6 iot guest main tunnel dns loopback globals millpond lo openwrt mp0 mpwg0 mpvpn0 br-lan " \
		"ntp system timeserver defaults dnsmasq odhcpd local default prelocal unspec fw4 millpond_tunnel " \
		"millpond_held millpond_cut router.private usage guard.nft client.ovpn.example server.ovpn.example " \
		"endpoint.example settings.private settings-join.private settings.preshared")
	# Options of other programs that name something.
	set(naming, "name hostname host domain local dn ssid username user tag label description device ifname src " \
		"dest network ports instance")
	digits = "\020\021\022\023\024\025\026\027\030\031"
	learning = 1
}

learning && /^\001/ { learning = 0; sort_words(); next }
learning { learn_line($1, substr($0, length($1) + 2)); next }

/^== / { part = substr($0, 4) }
{
	line = $0
	if (part == "settings" || part == "firewall zone") line = settings_line(line)
	if (part == "log" && !log_line()) next
	gsub(/\(got [^)]*, want/, "(got \002\003, want", line)
	if (part ~ /^(log|check|status)$/) line = quoted(line)
	sub(/^ +(alias|altname) .*/, "    (another name)", line)
	# Looks like an IPv6 address.
	gsub(/millpond::/, "millpond\004", line)
	line = words(line)
	line = matches(line, key, "KEY")
	line = matches(line, mac, "MAC")
	line = matches(line, v4, "ADDRESS")
	line = matches(line, v6, "ADDRESS")
	line = matches(line, bare_mac, "MAC")
	line = matches(line, host, "HOST")
	print with_masks(line)
}

END { if (dropped) print "(lines of other programs that were left out: " dropped ")" }

function set(into, list, values, i) {
	split(list, values, " ")
	for (i in values) into[values[i]] = 1
}

# ---- private words ----

function learn_line(source, text, option, value, at, place, words) {
	if (source == "settings" || source == "other") {
		if (text !~ setting) return
		at = index(text, "=")
		value = substr(text, at + 1)
		place = substr(text, 1, at - 1)
		option = match(place, /[]][.]/) ? substr(place, RSTART + 2) : ""
		if (source == "other") {
			if (option == "" || option in naming) learn("NAME", value)
		} else {
			learn_setting(substr(place, 2, index(place, "[") - 2), option, value)
		}
	} else if (source == "json") {
		while (match(text, /"(name|hostname|network|interface)": ?"([^"\\]|\\.)*"/)) {
			value = substr(text, RSTART, RLENGTH)
			text = substr(text, RSTART + RLENGTH)
			sub(/^"[a-z]*": ?"/, "", value)
			learn("NAME", substr(value, 1, length(value) - 1))
		}
	} else {
		split(text, words, " ")
		if (source == "lease") learn("NAME", words[4])
		if (source == "interface") learn("INTERFACE", text)
		if (source == "file") learn("FILE", text)
		if (source == "nft") learn("NAME", words[3])
		if (source == "rt_table" && words[1] ~ /^[0-9]/) learn("NAME", words[2])
		if (source == "host") learn("NAME", text)
	}
}

# An option of millpond; without an option, the name of a section.
function learn_setting(kind, option, value, pieces, count, i) {
	if (!(kind in section)) learn("NAME", kind)
	if (option != "" && !(option in harmless_option) && !(option in other_option)) learn("NAME", option)
	if (option in harmless_option && is_harmless(value) || is_address(value)) return
	if (option !~ /^(endpoint|backup)$/) return learn(kind_of(option, value), value)
	# HOST:PORT, perhaps with a key.
	count = split(value, pieces, /[][ \/:@]+/)
	for (i = 1; i <= count; i++) if (length(pieces[i]) > 2) learn(pieces[i] ~ /=$/ ? "KEY" : "HOST", pieces[i])
}

# Whether the value is a number, a time of day, or a word of millpond's own.
function is_harmless(value) {
	if (value ~ /^(0x)?[0-9]+([.][0-9]+)?$/) return length(value) <= 10
	return value ~ /^[0-9][0-9]?:[0-9][0-9]$/ || tolower(value) in harmless
}

# Whether the masks of addresses hide the whole value.
function is_address(value) {
	return value ~ ("^(" mac "|" v4 "|" v6 ")(/[0-9]+)?$")
}

# Learns a value, which may have the escapes of JSON or of 'millpond config'. Programs show quotes and special
# characters in different ways, so the pieces between them are learnt too.
function learn(kind, value, plain, pieces, count, i, mask) {
	if (value == "" || tolower(value) in common || value ~ interface) return
	plain = unescaped(value)
	mask = mask_of(kind, plain)
	add(value, mask)
	add(plain, mask)
	count = split(value, pieces, /\\u[{][0-9A-Fa-f]+[}]|\\u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f]|\\[a-z\\"]|["'\\]/)
	for (i = 1; count > 1 && i <= count; i++) add(pieces[i], mask)
}

function unescaped(value) {
	gsub(/\\"/, "\"", value)
	gsub(/\\\\/, "\\", value)
	return value
}

function add(word, mask) {
	word = tolower(word)
	gsub(/^[ \/]+|[ \/]+$/, "", word)
	if (word in mask_for || word in common || word ~ interface) return
	# Short numbers and punctuation are everywhere.
	if (word ~ /^[0-9]?[0-9]?[0-9]?$/ || word ~ /^[ -\/:-@[-`{-~]*$/) return
	mask_for[word] = mask
	sorted[++learnt] = word
}

# Longest first, because a name may be a part of another.
function sort_words(i, j, word) {
	for (i = 2; i <= learnt; i++) {
		word = sorted[i]
		for (j = i - 1; j > 0 && length(sorted[j]) < length(word); j--) sorted[j + 1] = sorted[j]
		sorted[j + 1] = word
	}
}

# ---- lines of the report ----

# A line of 'millpond config'.
function settings_line(text, at, place, option, value) {
	if (text !~ setting) return text
	at = index(text, "=")
	place = substr(text, 1, at - 1)
	value = substr(text, at + 1)
	option = match(place, /[]][.]/) ? substr(place, RSTART + 2) : ""
	if (value == "" || tolower(value) in common || value ~ interface) return text
	if (option in harmless_option && is_harmless(value)) return text
	if (option ~ /^(private|join|preshared)_key$/ && value !~ /^\//) return place "=(hidden)"
	# The host and the key of an endpoint have masks of their own.
	if (option ~ /^(endpoint|backup)$/ || is_address(value)) return text
	return place "=" mask_of(kind_of(option, value), unescaped(value))
}

function kind_of(option, value) {
	if (option == "profile" || option ~ /_key$/ && value ~ /^\//) return "FILE"
	return option ~ /_key$/ ? "KEY" : "NAME"
}

# Whether to keep `line`, a line of the log. Hides parts of it. Other programs that mention millpond say more than the
# report needs.
function log_line(header, text) {
	if (line ~ /^(== log|[(]logread failed.*)?$/) return 1
	if (!match(line, /^[A-Za-z0-9: ]* [a-z0-9]+[.][a-z]+ (millpond|procd)([[][0-9]+[]])?: /)) return skip()
	header = substr(line, 1, RLENGTH)
	text = substr(line, RLENGTH + 1)
	if (header ~ / procd/ && text !~ /millpond::/) return skip()
	sub(/(private|join|preshared)_key.*/, "key (hidden)", text)
	# openvpn logs names of certificates, and whatever the other end sends.
	if (match(text, /openvpn: /) && text !~ openvpn) text = substr(text, 1, RSTART + RLENGTH - 1) "(hidden)"
	line = header text
	return 1
}

function skip() {
	dropped++
	return 0
}

# Hides quoted text, except commands and millpond's own words. Values may have quotes in them, so everything up to the
# last quote of the line is hidden.
function quoted(text, done, rest, word) {
	done = ""
	while (match(text, /(^|[^A-Za-z0-9\\])'/)) {
		done = done substr(text, 1, RSTART + RLENGTH - 2)
		text = substr(text, RSTART + RLENGTH - 1)
		if (match(text, /^'[^']*'/)) {
			word = substr(text, 2, RLENGTH - 2)
			if (is_own(word)) {
				done = done substr(text, 1, RLENGTH)
				text = substr(text, RLENGTH + 1)
				continue
			}
		}
		rest = text
		sub(/.*'/, "", rest)
		return done "'\002\003'" (length(rest) + 1 < length(text) ? rest : "")
	}
	return done text
}

# Whether a quoted text is a command, or a word of millpond's own.
function is_own(word) {
	if (word ~ /^(millpond|opkg|apk|wg|config|option|list) [a-z0-9 -]+$/) return 1
	return is_harmless(word) || word in harmless_option || word in other_option || word in section || word in common
}

function words(text, i, at, lower, out, size, word) {
	lower = tolower(text)
	for (i = 1; i <= learnt; i++) {
		word = sorted[i]
		if (!index(lower, word)) continue
		size = length(word)
		out = ""
		while ((at = index(lower, word)) > 0) {
			# A short word counts only if it stands alone.
			if (size < 4 && (substr(" " lower, at, 1) substr(lower " ", at + size, 1)) ~ /[a-z0-9]/) {
				out = out substr(text, 1, at + size - 1)
			} else {
				out = out substr(text, 1, at - 1) mask_for[word]
			}
			text = substr(text, at + size)
			lower = substr(lower, at + size)
		}
		text = out text
		lower = tolower(text)
	}
	return text
}

function matches(text, pattern, kind, out, value, before, after) {
	out = ""
	while (match(text, pattern)) {
		value = substr(text, RSTART, RLENGTH)
		before = substr(text, 1, RSTART - 1)
		after = substr(text, RSTART + RLENGTH)
		if (!is_common(kind, value, substr(before, length(before)), substr(after, 1, 1))) value = mask_of(kind, value)
		out = out before value
		text = after
	}
	return out text
}

# Whether the value identifies nobody: well-known addresses, times of day, versions, names of files, settings and
# sysctls.
function is_common(kind, value, before, after) {
	if (kind == "ADDRESS") {
		# The end of a path and a line number look like an address.
		if (before ~ /[A-Za-z0-9_]/) return 1
		if (value ~ /^(0[.]0[.]0[.]0|127[.].*|255[.]255[.].*|224[.]0[.]0[.][0-9]+|::|::1|fe80::)$/) return 1
		if (value ~ /^ff0[0-9a-f]::[0-9a-f]?[0-9a-f]?[0-9a-f]?$/) return 1
		return value ~ /^[0-9][0-9]?:[0-9][0-9]:[0-9][0-9]$/ || value !~ /[0-9A-Fa-f]/
	}
	if (kind == "MAC") {
		if (tolower(value) ~ /^(00[:-]?)*$|^(ff[:-]?)*$/) return 1
		# Twelve digits inside a longer word or number.
		return value !~ /[:-]/ && (before after) ~ /[A-Za-z0-9_]/
	}
	if (kind != "HOST") return 0
	if (value in common || value ~ interface || value ~ /^[0-9]+([.][0-9]+)+[a-zA-Z]*$/) return 1
	if (value ~ /^(daemon|user|kern)[.](emerg|alert|crit|err|warn|warning|notice|info|debug)$/) return 1
	if (value ~ /^net[.]ipv[46][.]conf[.](all|default|mp0|mpwg0)[.](forwarding|rp_filter|accept_ra)$/) return 1
	if (value ~ /^(net[.]ipv4[.]ip_forward|init[.]d|nftables[.]d|30-millpond[.]nft|millpond[.](sock|before))$/) return 1
	if (split(value, halves, /[.]/) != 2) return 0
	return halves[1] in section && (halves[2] in harmless_option || halves[2] in other_option)
}

# ---- masks ----

function mask_of(kind, value) {
	value = tolower(value)
	if (kind == "MAC") gsub(/[:-]/, "", value)
	if (!((kind, value) in masks)) {
		shown[++made] = kind "-" ++count[kind]
		masks[kind, value] = code(made)
	}
	return masks[kind, value]
}

function code(number, i, text) {
	text = ""
	for (i = 1; i <= length(number); i++) text = text sprintf("%c", 16 + substr(number, i, 1))
	return "\002" text "\003"
}

function with_masks(text, out, value, i, number) {
	out = ""
	gsub(/\004/, "::", text)
	while (match(text, /\002[\020-\031]*\003/)) {
		value = substr(text, RSTART + 1, RLENGTH - 2)
		number = 0
		for (i = 1; i <= length(value); i++) number = number * 10 + index(digits, substr(value, i, 1)) - 1
		out = out substr(text, 1, RSTART - 1) (value == "" ? "(hidden)" : shown[number])
		text = substr(text, RSTART + RLENGTH)
	}
	return out text
}
