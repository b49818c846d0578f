//! The program's memory: what is large begins at a line of the caches and lies in huge pages where the system has them.
//!
//! Vectors read and written across two lines, and page tables of 4 KB pages, cost products a fifth to a half of their speed on
//! some processors. What is large and was given back waits for the next that asks for as much: from the system it would come as pages
//! that have to be cleared first, which cost a step of a convolutional net a sixth of its time. A library leaves the allocator to the program, so this is the program's:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: onward_cli::allocator::Allocator = onward_cli::allocator::Allocator;
//! # fn main() {}
//! ```

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

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

/// Bytes above which memory does not wait, and all that waits at most.
const LONGEST: usize = 16 << 20;
const MOST: usize = 512 << 20;
/// Pieces that wait at most.
const PLACES: usize = 256;

/// Large memory that waits to be used again: in each place a piece's address plus its number of huge pages, which is less than one.
struct Shelf {
    places: [AtomicPtr<u8>; PLACES],
    bytes: AtomicUsize,
}

static SHELF: Shelf =
    Shelf { places: [const { AtomicPtr::new(std::ptr::null_mut()) }; PLACES], bytes: AtomicUsize::new(0) };

impl Shelf {
    /// A piece of so many bytes, if one waits.
    fn take(&self, bytes: usize) -> Option<*mut u8> {
        let pages = bytes / HUGE;
        for place in &self.places {
            let piece = place.load(Ordering::Relaxed);
            let fits = !piece.is_null() && piece.addr() % HUGE == pages;
            if fits
                && place
                    .compare_exchange(piece, std::ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                return Some(piece.wrapping_sub(pages));
            }
        }
        None
    }

    /// Keeps a piece, if there is room.
    fn keep(&self, memory: *mut u8, bytes: usize) -> bool {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST {
            let piece = memory.wrapping_add(bytes / HUGE);
            for place in &self.places {
                let empty = std::ptr::null_mut();
                if place.compare_exchange(empty, piece, Ordering::Release, Ordering::Relaxed).is_ok() {
                    return true;
                }
            }
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        false
    }
}

impl Shelf {
    /// Gives back to the system all that waits; whether there was any.
    fn clear(&self) -> bool {
        let mut any = false;
        for place in &self.places {
            let piece = place.swap(std::ptr::null_mut(), Ordering::Acquire);
            let pages = piece.addr() % HUGE;
            if let Ok(layout) = Layout::from_size_align(pages * HUGE, HUGE)
                && !piece.is_null()
            {
                self.bytes.fetch_sub(layout.size(), Ordering::Relaxed);
                // SAFETY: what waits came from `System` under this layout, and nobody else has it any more.
                unsafe { System.dealloc(piece.wrapping_sub(pages), layout) };
                any = true;
            }
        }
        any
    }
}

/// Whether memory of this layout, as [`stricter`] made it, may wait.
fn may_wait(layout: Layout) -> bool {
    layout.align() == HUGE && layout.size() <= LONGEST
}

/// What the system is asked for. It depends on the layout alone, so memory goes back under the layout that it came with.
fn stricter(layout: Layout) -> Layout {
    let align = match layout.size() {
        ..PAGE => return layout,
        PAGE..LARGE => LINE,
        LARGE.. => HUGE,
    };
    // No layout is that strict and ends within the address space: then it stays as it is, and the system refuses it.
    let strict = layout.align_to(align).unwrap_or(layout);
    if align == HUGE && may_wait(strict) { whole_pages(strict) } else { strict }
}

/// The same up to the end of its last huge page.
fn whole_pages(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size().next_multiple_of(HUGE), layout.align()).unwrap_or(layout)
}

// SAFETY: each call goes to `System` with a layout of at least the size and the alignment that were asked for, the same one
// when memory is taken and when it is given back; `System` keeps the trait's promises. Nothing here unwinds or allocates.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let strict = stricter(layout);
        if layout.size() >= LARGE
            && may_wait(strict)
            && let Some(memory) = SHELF.take(strict.size())
        {
            return memory;
        }
        // SAFETY: the size is not zero, as the caller promises.
        let mut memory = unsafe { System.alloc(strict) };
        if memory.is_null() && SHELF.clear() {
            // SAFETY: as above.
            memory = unsafe { System.alloc(strict) };
        }
        if layout.size() >= LARGE && !memory.is_null() {
            huge(memory, strict.size());
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
        let strict = stricter(layout);
        if layout.size() >= LARGE && may_wait(strict) && SHELF.keep(memory, strict.size()) {
            return;
        }
        // SAFETY: it came from `System` under this layout, whether or not it waited in between.
        unsafe { System.dealloc(memory, strict) }
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
    fn what_waits_is_used_again_by_one_at_a_time() {
        let shelf = Shelf {
            places: [const { AtomicPtr::new(std::ptr::null_mut()) }; PLACES],
            bytes: AtomicUsize::new(0),
        };
        // Addresses that are never read: places hold them as they are.
        let piece = |n: usize| std::ptr::without_provenance_mut::<u8>(n * 32 * HUGE);
        assert!(shelf.keep(piece(1), 2 * HUGE) && shelf.keep(piece(2), 3 * HUGE));
        assert_eq!(shelf.take(HUGE), None);
        assert_eq!(shelf.take(3 * HUGE), Some(piece(2)));
        assert_eq!((shelf.take(3 * HUGE), shelf.take(2 * HUGE)), (None, Some(piece(1))));
        let kept = (1..=2 * PLACES).filter(|n| shelf.keep(piece(*n), LONGEST)).count();
        assert_eq!((kept, shelf.bytes.load(Ordering::Relaxed)), (MOST / LONGEST, MOST));
        while shelf.take(LONGEST).is_some() {}
        let kept: Vec<usize> = (1..=2 * PLACES).filter(|n| shelf.keep(piece(*n), HUGE)).collect();
        assert_eq!(kept.len(), PLACES.min(MOST / HUGE));
        let taken = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if let Some(piece) = shelf.take(HUGE) {
                            taken.lock().unwrap().push(piece.addr());
                            let mut all = taken.lock().unwrap();
                            let own = all.iter().position(|p| *p == piece.addr()).unwrap();
                            all.swap_remove(own);
                            assert!(!all.contains(&piece.addr()), "given to two at once");
                            assert!(shelf.keep(piece, HUGE));
                        }
                    }
                });
            }
        });
        assert_eq!(shelf.bytes.load(Ordering::Relaxed), kept.len() * HUGE);
    }

    #[test]
    fn what_waits_goes_back_to_the_system_when_asked_for() {
        let shelf = Shelf {
            places: [const { AtomicPtr::new(std::ptr::null_mut()) }; PLACES],
            bytes: AtomicUsize::new(0),
        };
        assert!(!shelf.clear());
        for pages in 1..4 {
            let layout = Layout::from_size_align(pages * HUGE, HUGE).unwrap();
            // SAFETY: the size is not zero.
            assert!(shelf.keep(unsafe { System.alloc(layout) }, layout.size()));
        }
        assert!(shelf.clear() && !shelf.clear());
        assert_eq!(shelf.bytes.load(Ordering::Relaxed), 0);
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
