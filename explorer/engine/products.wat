;; The two products with the hidden weights, four numbers at a time. Weights lie row by row in memory, 32-bit floats.
;; network.js has the same in JavaScript, for browsers without SIMD and as the definition that a test compares with.
(module
  (memory (export "memory") 1)

  ;; h[j] = sum_i m[j, i] x[i]; rows: a multiple of 4; bytes: of a row, a multiple of 16.
  (func (export "before") (param $m i32) (param $x i32) (param $h i32) (param $rows i32) (param $bytes i32)
    (local $i i32) (local $b i32) (local $c i32) (local $d i32) (local $pixel v128)
    (local $p v128) (local $q v128) (local $r v128) (local $s v128)
    (loop $four
      (local.set $b (i32.add (local.get $m) (local.get $bytes)))
      (local.set $c (i32.add (local.get $b) (local.get $bytes)))
      (local.set $d (i32.add (local.get $c) (local.get $bytes)))
      (local.set $p (v128.const f32x4 0 0 0 0))
      (local.set $q (v128.const f32x4 0 0 0 0))
      (local.set $r (v128.const f32x4 0 0 0 0))
      (local.set $s (v128.const f32x4 0 0 0 0))
      (local.set $i (i32.const 0))
      (loop $pixels
        (local.set $pixel (v128.load (i32.add (local.get $x) (local.get $i))))
        (local.set $p (f32x4.add (local.get $p) (f32x4.mul (local.get $pixel) (v128.load (i32.add (local.get $m) (local.get $i))))))
        (local.set $q (f32x4.add (local.get $q) (f32x4.mul (local.get $pixel) (v128.load (i32.add (local.get $b) (local.get $i))))))
        (local.set $r (f32x4.add (local.get $r) (f32x4.mul (local.get $pixel) (v128.load (i32.add (local.get $c) (local.get $i))))))
        (local.set $s (f32x4.add (local.get $s) (f32x4.mul (local.get $pixel) (v128.load (i32.add (local.get $d) (local.get $i))))))
        (local.set $i (i32.add (local.get $i) (i32.const 16)))
        (br_if $pixels (i32.lt_u (local.get $i) (local.get $bytes))))
      (f32.store (local.get $h) (call $sum (local.get $p)))
      (f32.store offset=4 (local.get $h) (call $sum (local.get $q)))
      (f32.store offset=8 (local.get $h) (call $sum (local.get $r)))
      (f32.store offset=12 (local.get $h) (call $sum (local.get $s)))
      (local.set $h (i32.add (local.get $h) (i32.const 16)))
      (local.set $m (i32.add (local.get $d) (local.get $bytes)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 4)))
      (br_if $four (local.get $rows))))

  ;; g[i] += sum_k q[k] m[row k, i]; at: where the rows begin, as many as q; count: a multiple of 4; g begins as zeros.
  (func (export "back") (param $at i32) (param $q i32) (param $g i32) (param $count i32) (param $bytes i32)
    (local $i i32) (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $place i32)
    (local $p v128) (local $r v128) (local $s v128) (local $t v128)
    (if (i32.eqz (local.get $count)) (then (return)))
    (loop $four
      (local.set $a (i32.load (local.get $at)))
      (local.set $b (i32.load offset=4 (local.get $at)))
      (local.set $c (i32.load offset=8 (local.get $at)))
      (local.set $d (i32.load offset=12 (local.get $at)))
      (local.set $p (v128.load32_splat (local.get $q)))
      (local.set $r (v128.load32_splat offset=4 (local.get $q)))
      (local.set $s (v128.load32_splat offset=8 (local.get $q)))
      (local.set $t (v128.load32_splat offset=12 (local.get $q)))
      (local.set $i (i32.const 0))
      (loop $pixels
        (local.set $place (i32.add (local.get $g) (local.get $i)))
        (v128.store (local.get $place)
          (f32x4.add (v128.load (local.get $place))
            (f32x4.add
              (f32x4.add
                (f32x4.mul (local.get $p) (v128.load (i32.add (local.get $a) (local.get $i))))
                (f32x4.mul (local.get $r) (v128.load (i32.add (local.get $b) (local.get $i)))))
              (f32x4.add
                (f32x4.mul (local.get $s) (v128.load (i32.add (local.get $c) (local.get $i))))
                (f32x4.mul (local.get $t) (v128.load (i32.add (local.get $d) (local.get $i))))))))
        (local.set $i (i32.add (local.get $i) (i32.const 16)))
        (br_if $pixels (i32.lt_u (local.get $i) (local.get $bytes))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (local.set $q (i32.add (local.get $q) (i32.const 16)))
      (local.set $count (i32.sub (local.get $count) (i32.const 4)))
      (br_if $four (local.get $count))))

  (func $sum (param $v v128) (result f32)
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $v)) (f32x4.extract_lane 1 (local.get $v)))
      (f32.add (f32x4.extract_lane 2 (local.get $v)) (f32x4.extract_lane 3 (local.get $v))))))
