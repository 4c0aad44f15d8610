/*
 * A plugin for QEMU (docs/devel/tcg-plugins) that counts the instructions of the running emulated machine:
 *   -plugin count.so,into=FILE
 * FILE contains two 64-bit counters: instructions at addresses below PROGRAM_END, and all instructions. Only a static
 * program that is not position-independent uses addresses below PROGRAM_END; dynamically linked programs, libraries and
 * the kernel are above. PLUGIN_VERSION is QEMU's version of the plugin interface. The declarations here are the same in
 * all versions, and Debian ships no header.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROGRAM_END 0x10000000u

struct qemu_plugin_tb;
typedef void (*translated)(uint64_t id, struct qemu_plugin_tb *block);
typedef void (*executed)(unsigned int processor, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated callback);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, executed callback, int no_registers, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_VERSION;

static volatile uint64_t *counts;

/* The machine has one processor, so the counters need no lock. */
static void count_program(unsigned int processor, void *instructions)
{
	(void)processor;
	counts[0] += (uintptr_t)instructions;
	counts[1] += (uintptr_t)instructions;
}

static void count_other(unsigned int processor, void *instructions)
{
	(void)processor;
	counts[1] += (uintptr_t)instructions;
}

static void count(uint64_t id, struct qemu_plugin_tb *block)
{
	executed add = qemu_plugin_tb_vaddr(block) < PROGRAM_END ? count_program : count_other;

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(block, add, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const void *machine, int argc, char **argv)
{
	size_t bytes = 2 * sizeof(*counts);
	int file;

	(void)machine;
	if (argc != 1 || strncmp(argv[0], "into=", 5) != 0)
		return 1;
	file = open(argv[0] + 5, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (file < 0 || ftruncate(file, (off_t)bytes) != 0)
		return 1;
	counts = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (counts == MAP_FAILED)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, count);
	return 0;
}
