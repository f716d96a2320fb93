# Targets for people: demo, test, check, build. `make test` is what CI runs.
SHELL := /bin/bash
NODE_BIN := node_modules/.bin
# Tests of the sources as they are written.
CHECKS := tests/structure.test.ts tests/regular-expressions.test.ts

.PHONY: all bench-reinstall build check clean deb demo deps footprint format fuzz generate install install-firewall mutants simulate test test-demo xen-test xen-test-liar

all: build

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund
	touch $@

# All that the tests need.
deps: node_modules/.installed
	scripts/dev/install-deps --for check --for test

build: node_modules/.installed
	node scripts/dev/build.mjs

generate: node_modules/.installed
	node --import tsx scripts/dev/generate.ts

format: node_modules/.installed
	$(NODE_BIN)/biome check --write .

check: node_modules/.installed
	scripts/dev/install-deps --for check
	$(NODE_BIN)/biome check --error-on-warnings .
	$(NODE_BIN)/tsc -p .
	node --import tsx scripts/dev/generate.ts --check
	shellcheck -x $$(scripts/dev/shell-files)
	$(NODE_BIN)/vitest run $(CHECKS)

# All but what `make check` has run. In mounts of its own, shared as a Debian's are: what a test unmounts is gone from the copies that
# others' processes have, and its loop device with it.
test: check deps build
	unshare --mount --propagation shared -- $(NODE_BIN)/vitest run $(CHECKS:%=--exclude %)

# As many stories of the simulator as one likes: make simulate RUNS=100000. SIMULATE_SEED=n tells those of a seed again.
simulate: node_modules/.installed
	RUNS=$(or $(RUNS),10000) node --import tsx tests/simulator/run.ts

# The product with one of its precautions taken out, and again with another: the simulator must catch each. ONLY=word: those of that name.
mutants: node_modules/.installed
	node --import tsx tests/simulator/mutants/run.ts

# Readers of what others write, a minute each, guided by what their code does with it. FUZZ_SECONDS=n: so long each.
fuzz: node_modules/.installed
	tests/fuzz/run

# A real Xen host in QEMU: its images are built once (three minutes), and kept in /var/cache/dtc-xen-lab. PHASES=life,outage: these alone.
xen-test: deps build
	tests/xen/run $(PHASES)

# The same with an xl that always says OK: the suite must fail.
xen-test-liar: deps build
	tests/xen/run --liar

# What the agent takes of dom0, into docs/footprint.md.
footprint: deps build
	tests/xen/run --write footprint

# Installs what the demo needs alone.
demo: build
	scripts/dev/install-deps --for demo
	node --import tsx scripts/dev/demo.ts

# Cold and warm reinstalls beside debootstrap and xen-create-image: minutes; writes the table of docs/performance.md.
bench-reinstall: deps build
	scripts/dev/install-deps xen-tools
	node --import tsx scripts/dev/bench-reinstall.ts

# The Debian packages, in dist/deb/; lintian has the last word.
deb: node_modules/.installed
	scripts/dev/build-deb
	scripts/dev/install-deps lintian
	scripts/dev/lint-deb

# The packages built twice and compared, then in a clean Debian 13: minutes, the first time of a week.
test-packages: deb
	scripts/dev/rebuild-deb
	tests/packages/run

# `make demo` in a Debian 13 with Node alone: how many packages it installs, and how long it takes.
test-demo: node_modules/.installed build
	tests/packages/demo

# The same packages on the real Xen host of tests/xen/lab: a quarter of an hour.
test-packages-xen: deb
	tests/packages/on-xen

# Puts the built agent where it runs from; DESTDIR is for packages.
install:
	install -d $(DESTDIR)/usr/sbin $(DESTDIR)/usr/bin $(DESTDIR)/usr/lib/dtc-xen-agent $(DESTDIR)/etc/dtc-xen
	install -m 755 dist/dtc-xen-agent.mjs dist/dtc-xen-client.mjs $(DESTDIR)/usr/lib/dtc-xen-agent/
	install -m 644 dist/dtc-xen-agent-*.mjs $(DESTDIR)/usr/lib/dtc-xen-agent/
	install -m 755 dist/without-locks dist/with-node-proc $(DESTDIR)/usr/lib/dtc-xen-agent/
	ln -sf ../lib/dtc-xen-agent/dtc-xen-agent.mjs $(DESTDIR)/usr/sbin/dtc-xen-agent
	for name in dtc-xen dtc_reinstall_os dtc_setup_vps_disk dtc_kill_vps_disk dtc_write_xenhvm_conf dtc_change_bsd_kernel dtc-xen-volgroup dtc-xen_migrate dtc-xen_domU_gen_xen_conf vgdisplay_free_size xm_info_free_memory; do \
	  ln -sf dtc-xen-agent $(DESTDIR)/usr/sbin/$$name || exit 1; \
	done
	ln -sf ../lib/dtc-xen-agent/dtc-xen-client.mjs $(DESTDIR)/usr/bin/dtc-xen-client
	install -d $(DESTDIR)/usr/share/dtc-xen/scripts/lib $(DESTDIR)/usr/share/dtc-xen/scripts/guest
	install -m 755 $(filter-out scripts/dev scripts/lib scripts/guest,$(wildcard scripts/*)) $(DESTDIR)/usr/share/dtc-xen/scripts/
	install -m 755 $(wildcard scripts/lib/*) $(DESTDIR)/usr/share/dtc-xen/scripts/lib/
	install -m 644 $(wildcard scripts/guest/*) $(DESTDIR)/usr/share/dtc-xen/scripts/guest/
	for name in $(notdir $(wildcard scripts/dtc-xen_* scripts/dtc_*)); do \
	  ln -sf ../share/dtc-xen/scripts/$$name $(DESTDIR)/usr/sbin/$$name || exit 1; \
	done
	install -d $(DESTDIR)/usr/share/dtc-xen-app $(patsubst templates/os/%,$(DESTDIR)/usr/share/dtc-xen-os/%,$(wildcard templates/os/*))
	for file in $$(cd templates/os && echo */*); do \
	  install -m $$(test -x templates/os/$$file && echo 755 || echo 644) templates/os/$$file $(DESTDIR)/usr/share/dtc-xen-os/$$file || exit 1; \
	done
	ln -sf scripts/dtc-xen-parse-param $(DESTDIR)/usr/share/dtc-xen/dtc-xen-parse-param
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system $(filter-out systemd/dtc-xen-firewall.service,$(wildcard systemd/*))
	install -D -m 755 -t $(DESTDIR)/etc/xen/scripts xen/block-dtc-xen
	install -D -m 644 -t $(DESTDIR)/usr/share/dtc-xen wsdl/dtc-xen.wsdl
	install -D -m 755 -t $(DESTDIR)/usr/bin console/dtc-xen_userconsole
	install -D -m 755 -t $(DESTDIR)/usr/lib/dtc-xen-agent/console console/attach console/files
	install -D -m 644 -t $(DESTDIR)/usr/lib/dtc-xen-agent/console console/caller
	install -D -m 644 console/sshd.conf $(DESTDIR)/etc/ssh/sshd_config.d/dtc-xen.conf
	install -D -m 644 fail2ban/filter.conf $(DESTDIR)/etc/fail2ban/filter.d/dtc-xen-agent.conf
	install -D -m 644 fail2ban/jail.conf $(DESTDIR)/etc/fail2ban/jail.d/dtc-xen-agent.conf
	install -D -m 440 console/sudoers $(DESTDIR)/etc/sudoers.d/dtc-xen
	install -D -m 644 console/xen.service.conf $(DESTDIR)/usr/lib/systemd/system/xen.service.d/dtc-xen-console-log.conf
	install -D -m 644 console/tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/dtc-xen-agent.conf

	$(foreach page,$(filter-out man/dtc-xen-firewall%,$(wildcard man/*.[1-8])),install -D -m 644 -t $(DESTDIR)/usr/share/man/man$(subst .,,$(suffix $(page))) $(page) &&) true
	$(foreach file,$(wildcard completions/*),install -D -m 644 -t $(DESTDIR)/usr/share/bash-completion/completions $(file) &&) true

# Puts the firewall where it runs from: a package of its own, which needs neither the agent nor node.
install-firewall:
	install -D -m 755 -t $(DESTDIR)/usr/sbin firewall/dtc-xen-firewall
	install -D -m 644 -t $(DESTDIR)/usr/share/dtc-xen/firewall firewall/settings firewall/defaults.conf firewall/*.nft
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system systemd/dtc-xen-firewall.service
	install -d $(DESTDIR)/etc/dtc-xen
	sed 's/^[a-z]/#&/' firewall/defaults.conf > $(DESTDIR)/etc/dtc-xen/firewall.conf
	install -D -m 644 -t $(DESTDIR)/usr/share/bash-completion/completions $(wildcard firewall/completions/*)
	$(foreach page,$(wildcard man/dtc-xen-firewall*.[1-8]),install -D -m 644 -t $(DESTDIR)/usr/share/man/man$(subst .,,$(suffix $(page))) $(page) &&) true

clean:
	rm -rf dist .cache
