# The targets for people and for continuous integration. "make help" lists them.

.PHONY: help demo test bench lint fuzz packages image soak debian translations
.DEFAULT_GOAL := help

help: ## print this list
	@awk -F ': ## ' '/^[a-z]+: ## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## as root: run a home in the laboratory for a minute, and report what its provider saw
	@tests/tools/setup build lab
	@tests/tools/with-rust tests/lab/demo

test: ## all tests: units, integration, layers, packages, LuCI pages, laboratory (as root)
	@tests/tools/setup build lab luci
	@tests/tools/run

bench: ## measure delay against the paper's design, instructions, memory, size on each architecture
	@tests/tools/setup build lab bench cross
	@tests/tools/with-rust tests/lab/run flat-line sparse adversary
	@tests/tools/with-rust tests/tools/bench
	@cross/packages

packages: ## build packages for OpenWrt (ipk, apk, feeds) and Debian in target/packages; KEYS=FOLDER signs them
	@tests/tools/setup build cross
	@cross/packages $(if $(KEYS),--keys $(KEYS))

image: ## build the endpoint's container image for amd64 and arm64, without a registry, in target/image
	@tests/tools/setup build cross
	@cross/image

lint: ## run rustfmt, clippy, rustdoc, shellcheck, shfmt, ESLint, cargo-deny, and check cross/deploy
	@tests/tools/setup build lint luci
	@tests/tools/lint

fuzz: ## fuzz every parser for five seconds; "tests/fuzz/run SECONDS" or "--runs N" for longer
	@tests/tools/setup build fuzz
	@tests/fuzz/run 5

soak: ## as root: a year of both ends and a day of the laboratory's world, in virtual time (some hours)
	@tests/tools/setup build lab
	@tests/tools/soak

debian: ## as root: boot two Debian machines, install, set up, reboot, upgrade and purge millpond (half an hour)
	@tests/tools/setup build cross bed
	@tests/debian/run

translations: ## renew the translators' template, and list the texts that lack a translation
	@node tests/luci/translations.mjs luci-app
