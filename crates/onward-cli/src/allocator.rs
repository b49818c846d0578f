//! The program's memory: what is large begins at a line of the caches and lies in huge pages where the system has them.
//!
//! Vectors read and written across two lines, and page tables of 4 KB pages, cost products a fifth to a half of their speed on
//! some processors. A library leaves the allocator to the program, so this is the program's:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: onward_cli::allocator::Allocator = onward_cli::allocator::Allocator;
//! # fn main() {}
//! ```

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes from which on memory begins at a line of the caches.
const PAGE: usize = 4 << 10;
/// A line of the caches.
const LINE: usize = 64;
/// Bytes from which on memory begins at a huge page and is asked to lie in such.
const LARGE: usize = 1 << 20;
/// A huge page.
const HUGE: usize = 2 << 20;

/// The system's allocator with stricter alignment for what is large. What the system refuses is refused in the same way.
#[derive(Clone, Copy, Debug)]
pub struct Allocator;

/// What the system is asked for. It depends on the layout alone, so memory goes back under the layout that it came with.
fn stricter(layout: Layout) -> Layout {
    let align = match layout.size() {
        ..PAGE => return layout,
        PAGE..LARGE => LINE,
        LARGE.. => HUGE,
    };
    // No layout is that strict and ends within the address space: then it stays as it is, and the system refuses it.
    layout.align_to(align).unwrap_or(layout)
}

// SAFETY: each call goes to `System` with a layout of the same size and at least the alignment that was asked for, the same one
// when memory is taken and when it is given back; `System` keeps the trait's promises. Nothing here unwinds or allocates.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not zero, as the caller promises.
        let memory = unsafe { System.alloc(stricter(layout)) };
        if layout.size() >= LARGE && !memory.is_null() {
            huge(memory, layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`. Huge pages are asked for before the zeros are written: a page is what it is when it is first touched.
        unsafe {
            if layout.size() < LARGE {
                return System.alloc_zeroed(stricter(layout));
            }
            let memory = self.alloc(layout);
            if !memory.is_null() {
                memory.write_bytes(0, layout.size());
            }
            memory
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: it came from `System` under this layout.
        unsafe { System.dealloc(memory, stricter(layout)) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size`, rounded up to the alignment, does not overflow and is not zero; both pieces of memory
        // have the bytes that are copied, and they are different pieces.
        unsafe {
            if layout.size() < PAGE && size < PAGE {
                return System.realloc(memory, layout, size);
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(memory, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            new
        }
    }
}

/// Asks for huge pages; where the system has none or does not want to, memory is as good as before.
fn huge(memory: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the advice changes no byte, and the range is memory that was just taken; it begins at a page.
    unsafe {
        let _ = rustix::mm::madvise(memory.cast(), size, rustix::mm::Advice::LinuxHugepage);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, size);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes around each threshold.
    const SIZES: [usize; 9] = [1, PAGE - 1, PAGE, PAGE + 1, LARGE - 1, LARGE, HUGE, HUGE + 7, 5 * HUGE];

    fn strict(memory: *mut u8, size: usize) -> bool {
        let align = if size >= LARGE {
            HUGE
        } else if size >= PAGE {
            LINE
        } else {
            1
        };
        !memory.is_null() && (memory as usize).is_multiple_of(align)
    }

    #[test]
    fn memory_is_aligned_zeroed_and_grows_with_what_it_holds() {
        for align in [1, 16, 128] {
            for size in SIZES {
                for next in SIZES {
                    let layout = Layout::from_size_align(size, align).unwrap();
                    // SAFETY: sizes are not zero, accesses stay inside, memory goes back under its layout.
                    unsafe {
                        let memory = Allocator.alloc_zeroed(layout);
                        assert!(strict(memory, size) && (memory as usize).is_multiple_of(align));
                        assert!(std::slice::from_raw_parts(memory, size).iter().all(|b| *b == 0));
                        memory.write(7);
                        memory.add(size - 1).write(9);
                        let memory = Allocator.realloc(memory, layout, next);
                        assert!(strict(memory, next) && (memory as usize).is_multiple_of(align));
                        let ends = [memory.read(), memory.add(size.min(next) - 1).read()];
                        assert!(ends[0] == 7 || size == 1, "{size} → {next}: {ends:?}");
                        assert!(ends[1] == 9 || next < size, "{size} → {next}: {ends:?}");
                        Allocator.dealloc(memory, Layout::from_size_align(next, align).unwrap());
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for size in [isize::MAX as usize / 2, isize::MAX as usize - HUGE / 2] {
            let (layout, small) = (Layout::from_size_align(size, 8).unwrap(), Layout::new::<[u64; 4]>());
            // SAFETY: nothing is accessed but the small piece, which goes back under its layout.
            unsafe {
                assert!(Allocator.alloc(layout).is_null() && Allocator.alloc_zeroed(layout).is_null());
                let memory = Allocator.alloc(small);
                memory.write(5);
                assert!(Allocator.realloc(memory, small, size).is_null());
                assert_eq!(memory.read(), 5, "what could not grow is as it was");
                Allocator.dealloc(memory, small);
            }
        }
    }
}
